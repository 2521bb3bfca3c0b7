#!/usr/bin/env bash
# One run by several workers on this machine, over loopback; the first is the chief and writes.
#
#   scripts/multi_worker.sh --model=mlp_1x512 --dataset=digits --corrupt=1.0
#   WORKERS=4 THREADS=1 scripts/multi_worker.sh ...
#
# On several machines: the same TF_CONFIG on each, with their addresses and each one's index.
# Ctrl-C and SIGTERM go to all workers; the exit code is the chief's.
set -u
workers=${WORKERS:-2}
threads=${THREADS:-1}
python=${PYTHON:-python}
addresses=$("$python" - "$workers" <<'PORTS'
import json, socket, sys

held = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in held:
    s.bind(("127.0.0.1", 0))
print(json.dumps([f"127.0.0.1:{s.getsockname()[1]}" for s in held]))
PORTS
) || exit 2

pids=()
for ((i = workers - 1; i >= 0; i--)); do
    task="{\"cluster\": {\"worker\": $addresses}, \"task\": {\"type\": \"worker\", \"index\": $i}}"
    TF_CONFIG=$task "$python" -m rethink_tf.main --strategy=multi_worker --threads="$threads" "$@" &
    pids+=($!)
done
chief=${pids[-1]}
trap 'kill -TERM "${pids[@]}" 2>/dev/null' TERM
trap 'kill -INT "${pids[@]}" 2>/dev/null' INT
code=127
# A trapped signal interrupts `wait`; wait again until the chief has really ended.
while kill -0 "$chief" 2>/dev/null; do
    wait "$chief"
    code=$?
done
wait
exit "$code"
