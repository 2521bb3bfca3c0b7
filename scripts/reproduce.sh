#!/usr/bin/env bash
# Trains what is missing of tables and figures, then writes their report (into report/).
#
#   scripts/reproduce.sh table1 figure1b          # at the paper's scale, one seed
#   scripts/reproduce_table1.sh --scale=smoke --rows='mlp_*' --dry_run
#   SEEDS=3 SCALE=cpu DATA=/data scripts/reproduce.sh --all
#   RUNS=/big/runs SWEEP="--executor=ray --threads=4" scripts/reproduce.sh table1
#
# Flags go to the sweep and to the report (--scale, --seeds, --rows, --runs_dir); those of the sweep
# alone are given in SWEEP. --dry_run lists the runs and stops. Interrupted, the same command goes
# on. Runs that fail are named at the end, and the report is written without them; the exit code is
# the sweep's.
set -u
python=${PYTHON:-python}
shared=(--seeds="${SEEDS:-1}" --scale="${SCALE:-paper}" --runs_dir="${RUNS:-runs}")
stop=
for word in "$@"; do
  case $word in
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
    --dry_run) stop=yes ;;
  esac
done
code=0
# What is typed comes last, so that it holds against the variables.
"$python" -m rethink_tf sweep "${shared[@]}" ${DATA:+--data_dir="$DATA"} ${SWEEP:-} "$@" || code=$?
[[ -n $stop ]] && exit "$code"
# 2: nothing could be asked for; 130 and 143: stopped, to go on.
case $code in 2 | 130 | 143) exit "$code" ;; esac
"$python" -m rethink_tf report "${shared[@]}" "$@" || exit $?
exit "$code"
