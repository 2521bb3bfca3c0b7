#!/usr/bin/env bash
# Table 4: random labels with explicit regularisers, six rows on CIFAR-10.
exec "$(dirname "$0")/reproduce.sh" table4 "$@"
