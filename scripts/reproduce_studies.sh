#!/usr/bin/env bash
# Beyond the paper: capacity, explicit regularisers, levels of randomisation and their transfer, WRN.
exec "$(dirname "$0")/reproduce.sh" capacity regularisation levels levels_constant levels_clean_test transfer wrn "$@"
