#!/usr/bin/env bash
# Run a command beside a private JACK server that needs no sound card (its "dummy" driver).
#   SR=22050 PERIOD=512 tests/with_jack.sh COMMAND [ARG ...]
# needs: apt-get install -y --no-install-recommends jackd2 libportaudio2
# Exit status: the command's; 77 (the customary "skipped") where there is no jackd.
set -u
for tool in jackd jack_lsp; do
    command -v "$tool" >/dev/null || { echo "skipped: no $tool here; install jackd2" >&2; exit 77; }
done
export JACK_NO_AUDIO_RESERVATION=1 JACK_NO_START_SERVER=1

# JACK's registry holds eight servers and never forgets one that was killed, until another of the same name starts:
# so names are few and used again, each kept to one server at a time by a lock.
for slot in 1 2 3 4; do
    export JACK_DEFAULT_SERVER="wavevae-test-$slot"
    exec 9>"${TMPDIR:-/tmp}/$JACK_DEFAULT_SERVER.lock" || exit 1
    flock --nonblock 9 && break
    [ "$slot" = 4 ] && flock 9
done
priority="--realtime --realtime-priority 20"
chrt -f 1 true 2>/dev/null || priority="--no-realtime"  # then judge counts, never times
log=$(mktemp)
export JACK_COMMAND="jackd $priority -n $JACK_DEFAULT_SERVER -d dummy -r ${SR:-22050} -p ${PERIOD:-512} -C 2 -P 2"
start() {
    # shellcheck disable=SC2086
    $JACK_COMMAND >"$log" 2>&1 9>&- &
    server=$!
    export JACK_PID=$server
    for _ in $(seq 60); do
        jack_lsp >/dev/null 2>&1 && return 0
        kill -0 "$server" 2>/dev/null || return 1
        sleep 0.25
    done
}

tidy() {
    kill "$server" 2>/dev/null
    for _ in $(seq 20); do
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    kill -9 "$server" 2>/dev/null
    wait "$server" 2>/dev/null
    rm -f "$log" /dev/shm/jack_sem.*_"$JACK_DEFAULT_SERVER"_* /dev/shm/jack_"$JACK_DEFAULT_SERVER"_*
}
trap tidy EXIT
trap 'exit 130' INT TERM

if ! start; then
    # Full of killed servers while none runs: only then is the registry begun anew.
    grep -q "Too many servers" "$log" && command -v pgrep >/dev/null && ! pgrep -x jackd >/dev/null &&
        rm -f /dev/shm/jack-shm-registry && start || { cat "$log" >&2; exit 1; }
fi
"$@" 9>&-
