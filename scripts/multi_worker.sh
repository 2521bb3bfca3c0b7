#!/usr/bin/env bash
# One run by several workers on this machine; the first is the chief and writes.
#
# The workers talk over 127.0.0.1, but TensorFlow binds each worker's port on ALL interfaces and asks
# for no password: whoever reaches the port can read and change what the run computes. TensorFlow has
# no setting for it. So block the ports of the workers from outside by a firewall, or type PRIVATE=1:
# then the workers run in a network of their own that has loopback alone (Linux, unshare; nothing can
# be downloaded from there, so the data must be on disk).
#
#   scripts/multi_worker.sh --model=mlp_1x512 --dataset=digits --corrupt=1.0
#   WORKERS=4 THREADS=1 scripts/multi_worker.sh ...
#   PRIVATE=1 scripts/multi_worker.sh ...
#
# On several machines: the same TF_CONFIG on each, with their addresses and each one's index; a
# firewall must let only these machines reach the ports (docs/guides/several_devices.md).
# Ctrl-C and SIGTERM go to all workers; the exit code is the chief's.
set -u
workers=${WORKERS:-2}
threads=${THREADS:-1}
python=${PYTHON:-python}
if [[ ${PRIVATE:-0} == 1 ]]; then
    exec env PRIVATE=inside unshare --user --map-root-user --net "$0" "$@"
elif [[ ${PRIVATE:-0} == inside ]]; then
    "$python" - <<'LOOPBACK' || exit 2
import fcntl, socket, struct

SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
LOOPBACK
elif [[ ${PRIVATE:-0} != 0 ]]; then
    echo "PRIVATE: expected 0 or 1, received $PRIVATE" >&2
    exit 2
fi
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
