#!/usr/bin/env bash
# Table 3, equation 1, Theorem 1, the least norm, and measures of Table 1's MLPs.
exec "$(dirname "$0")/reproduce.sh" table3 rademacher expressivity implicit measures "$@"
