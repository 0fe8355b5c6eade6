# What the suites that start servers share: free ports, a place that is removed, processes that are stopped by id.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
sluice=${SLUICE_BUILD:-build}/server/verbs/sluice
work=$(mktemp -d "${TMPDIR:-/tmp}/sluice-test.XXXXXX")
pids=() passed=0 failed=0 skipped=0

cleanup() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${pids[@]}"; do
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null
    done
    [ -z "${kafka_dir:-}" ] || deploy/kafka stop --dir "$kafka_dir" >/dev/null 2>&1
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# Below the range from which the system takes ports of its own, and so that port + 10,000 (Redis Cluster) is free too.
free_port() {
    python3 - <<'P'
import random, socket
while True:
    port = random.randrange(11000, 22000)
    try:
        held = [socket.socket(), socket.socket()]
        held[0].bind(("127.0.0.1", port))
        held[1].bind(("127.0.0.1", port + 10000))
        print(port)
        break
    except OSError:
        pass
P
}

# until_true SECONDS COMMAND...: tries it ten times a second. A minute or more: a shared machine may stand still for many seconds.
until_true() {
    local tries=$(($1 * 10))
    shift
    for ((; tries > 0; tries--)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    return 1
}

# start NAME COMMAND...: in the background, output to $work/NAME.log; the process id is in $started.
start() {
    local name=$1
    shift
    "$@" >>"$work/$name.log" 2>&1 </dev/null &
    started=$!
    pids+=("$started")
    disown "$started"
}

# Starts a Redis; its address is in $redis. On another port when somebody was faster.
start_redis() {
    local port
    for _ in 1 2 3; do
        port=$(free_port)
        mkdir -p "$work/redis-$port"
        start "redis-$port" redis-server --port "$port" --bind 127.0.0.1 --save '' --dir "$work/redis-$port" "$@"
        redis=127.0.0.1:$port redis_port=$port
        until_true 60 sh -c "redis-cli -p $port ping || ! kill -0 $started" && kill -0 "$started" && return 0
    done
    return 1
}

# drained PID LOG: what was told to end has ended, with nothing left to do. Where `drain_ms` leaves a slow machine the time for it.
drained() {
    until_true 150 sh -c "! kill -0 $1" && grep -F '"text":"exit code' "$2" | tail -n 1 | grep -qF '"text":"exit code 0"'
}

# settled BUT OPTIONS...: no task is behind its log, but for allocation, which ticks for ever, and those of the pattern. Asked
# twice, for what one stage folds is the log of the next.
settled() {
    local status
    for _ in 1 2; do
        status=$("$sluice" task status "${@:2}" 2>/dev/null)
        awk -v but="^(allocation|$1)" 'NR > 1 && $1 !~ but && $5 != 0 {bad = 1} END {exit bad || NR < 38}' <<<"$status" || return 1
    done
}

# start_kafka 1|3 [--proxied]: a real Apache Kafka; its bootstrap list is in $brokers. Without one the suite ends here, loudly.
start_kafka() {
    kafka_dir=$work/kafka
    if KAFKA_HEAP=${KAFKA_HEAP:-384m} deploy/kafka start --brokers "$1" ${2:-} --port 0 --dir "$kafka_dir" >"$work/kafka.log" 2>&1; then
        brokers=$(cat "$kafka_dir/bootstrap")
        return 0
    fi
    tail -n 5 "$work/kafka.log"
    echo 'SKIPPED: no real Kafka here (is Maven Central reachable?): nothing of this suite was tested'
    [ "${CI:-}" = true ] && failed=1 || skipped=1
    result
    exit
}

# sanitized_tree DIRECTORY SANITIZERS TARGET...: built beside the plain tree, at -O1, which compiles in half the time.
sanitized_tree() {
    [ -f "$1/build.ninja" ] || CC=gcc meson setup "$1" -Db_sanitize="$2" -Db_lundef=false -Doptimization=1 || return 1
    ninja -C "$1" "${@:3}"
}
placed=() # before a program under sanitizers, whose shadow memory wants its place: without random addresses, where that is allowed
! setarch -R true 2>/dev/null || placed=(setarch -R)

# check WHAT COMMAND...: one result.
check() {
    local what=$1
    shift
    if "$@" >"$work/check.log" 2>&1; then
        passed=$((passed + 1))
        echo "ok   $what"
    else
        failed=$((failed + 1))
        echo "FAIL $what"
        tail -n 40 "$work/check.log"
    fi
}

result() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
}
