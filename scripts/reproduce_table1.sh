#!/usr/bin/env bash
# Table 1: 19 rows on CIFAR-10; three seeds: SEEDS=3. On two cores: SCALE=cpu, a night.
exec "$(dirname "$0")/reproduce.sh" table1 "$@"
