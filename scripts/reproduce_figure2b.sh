#!/usr/bin/env bash
# Figure 2b: Inception with and without batch normalisation, two rows of Table 1.
exec "$(dirname "$0")/reproduce.sh" figure2b "$@"
