#!/usr/bin/env bash
# Figure 1: five learning curves, and three networks at eleven levels of label corruption.
exec "$(dirname "$0")/reproduce.sh" figure1a figure1b figure1c "$@"
