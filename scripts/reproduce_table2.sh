#!/usr/bin/env bash
# Table 2 and Figure 2a: seven runs on ImageNet (DATA=folder of the prepared set).
exec "$(dirname "$0")/reproduce.sh" table2 figure2a "$@"
