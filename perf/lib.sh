# Sourced by the scripts beside it: processes that end with the script, and what /proc says about them.
# shellcheck shell=bash

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# The comment at the head of the script.
usage() {
    sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# Of every argument.
are_numbers() {
    local value
    for value in "$@"; do
        [[ $value =~ ^[1-9][0-9]*$ ]] || return 1
    done
}

work=$(mktemp -d)
started=()
cgroups=()
# Not empty: what was measured is not as it should be.
found=""

stop_all() {
    local pid
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null || true
        # One that was stopped would not hear of it.
        kill -CONT "$pid" 2>/dev/null || true
    done
    for pid in "${started[@]}"; do
        # Ten seconds to go by itself.
        for ((try = 0; try < 100; try++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    started=()
}

# complain WHAT: of what is measured; `verdict` then ends with 1.
complain() {
    found=yes
    echo "$*"
}

verdict() {
    [[ ! $found ]] || die 'not all is as it should be: see the lines in capitals above'
}

# At the end, whatever the end: stops what was started and clears up; after a failure the logs are shown first, unless
# it was a `verdict`.
at_exit() {
    local code=$?
    trap - EXIT INT TERM
    stop_all
    if ((code != 0)) && [[ ! $found ]]; then
        local log
        for log in "$work"/*.log; do
            [[ -s $log ]] && printf -- '--- %s\n%s\n' "${log##*/}" "$(tail -n 20 "$log")" >&2
        done
    fi
    ((${#cgroups[@]} == 0)) || rmdir "${cgroups[@]}" || true
    rm -rf "$work"
    exit "$code"
}
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME COMMAND…: runs it with its output in $work/NAME.log; its process id is then in $pid.
start() {
    local name=$1
    shift
    "$@" >"$work/$name.log" 2>&1 </dev/null &
    pid=$!
    started+=("$pid")
}

# ended PID: waits for one that `start` started and that ends by itself or was told to; stop_all leaves it alone then.
ended() {
    local each left=()
    wait "$1" 2>/dev/null || true
    for each in "${started[@]}"; do
        [[ $each == "$1" ]] || left+=("$each")
    done
    started=("${left[@]}")
}

# pause SECONDS: a signal ends it, as it would not end a `sleep`.
pause() {
    sleep "$1" &
    started+=("$!")
    ended "$!"
}

# end PID: stops one that `start` started.
end() {
    kill "$1" 2>/dev/null || true
    kill -CONT "$1" 2>/dev/null || true
    ended "$1"
}

# wait_for WHAT COMMAND…: until the command succeeds, at most ten seconds.
wait_for() {
    local what=$1
    shift
    for ((try = 0; try < 200; try++)); do
        "$@" >/dev/null 2>&1 && return
        kill -0 "$pid" 2>/dev/null || die "$what ended"
        sleep 0.05
    done
    die "$what did not begin to answer"
}

# limit_cpu PID PERCENT: from now on the process gets no more than that of one core.
limit_cpu() {
    local top=/sys/fs/cgroup group period=20000
    [[ -d $top/cpu ]] && top=$top/cpu
    group=$top/slotline-perf-$1
    mkdir "$group" || die 'there is no cgroup to limit CPU with: run it as root'
    cgroups+=("$group")
    if [[ -e $group/cpu.max ]]; then
        echo "$(($2 * period / 100)) $period" >"$group/cpu.max"
    else
        echo "$period" >"$group/cpu.cfs_period_us"
        echo "$(($2 * period / 100))" >"$group/cpu.cfs_quota_us"
    fi
    echo "$1" >"$group/cgroup.procs"
}

# A port that nobody listens on: for a program that cannot tell which one it was given.
free_port() {
    local port
    for ((try = 0; try < 100; try++)); do
        port=$((10000 + RANDOM % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    die 'no free port found'
}

# Clock ticks, user and system, of all threads of a process so far. What stands before the last ")" is its name.
cpu_ticks() {
    local stat fields
    stat=$(<"/proc/$1/stat")
    read -ra fields <<<"${stat##*) }"
    echo $((fields[11] + fields[12]))
}

# ticks_to_cost TICKS POINTS: CPU seconds a million points.
ticks_to_cost() {
    calc "$1 / $(getconf CLK_TCK) / $2 * 1000000" 4
}

# Peak resident megabytes since the last reset_peak.
peak_mb() {
    awk '/^VmHWM/ {printf "%.0f\n", $2 / 1024}' "/proc/$1/status"
}

reset_peak() {
    echo 5 >"/proc/$1/clear_refs" 2>/dev/null || true
}

# json_number NAME: from the JSON on stdin, the first number of that name.
json_number() {
    grep -oE "\"$1\":[0-9.]+" | head -n 1 | cut -d : -f 2
}

calc() {
    awk "BEGIN {printf \"%.${2:-3}f\n\", $1}"
}

# The median of the numbers on stdin.
median() {
    sort -g | awk '{v[NR] = $1} END {if (NR) print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'
}

# build: release programs, at $slotline and $perf.
build() {
    cargo build --release --locked --quiet -p slotline
    slotline=${CARGO_TARGET_DIR:-target}/release/slotline
    build_perf
}

build_perf() {
    cargo build --release --locked --quiet -p slotline-perf
    perf=${CARGO_TARGET_DIR:-target}/release/slotline-perf
}

# listening NAME PROTOCOL NTH: the NTH address of that protocol that the program NAME of `start` says it listens on.
listening() {
    sed -nE "s/.*listening (protocol=)?$2 (addr=)?([0-9.:]+).*/\3/p" "$work/$1.log" | sed -n "$3p"
}

# slotline_config NAME UDP REPLICA…: writes $work/NAME.toml: one core, one group with these replicas; UDP: a listener's
# lines, or nothing.
slotline_config() {
    local name=$1 udp=$2 count=0 replica
    shift 2
    {
        listening_config "$name" 1 "$udp"
        printf '[[group]]\nid = 1\n'
        for replica in "$@"; do
            count=$((count + 1))
            printf '  [[group.replica]]\n  name = "r%s"\n  url = "http://%s"\n' "$count" "$replica"
        done
    } >"$work/$name.toml"
}

# groups_config NAME CORES REPLICA…: the same with so many cores and a group for each replica.
groups_config() {
    local name=$1 cores=$2 group=0 replica
    shift 2
    {
        listening_config "$name" "$cores" ''
        for replica in "$@"; do
            group=$((group + 1))
            printf '[[group]]\nid = %s\n  [[group.replica]]\n  name = "g%sa"\n  url = "http://%s"\n' \
                "$group" "$group" "$replica"
        done
    } >"$work/$name.toml"
}

# listening_config NAME CORES LISTENER
listening_config() {
    printf '[server]\ncores = %s\ndata_dir = "%s"\n' "$2" "$work/$1.data"
    printf '[[listen]]\nprotocol = "http"\nbind = "127.0.0.1:0"\n%s\n' "$3"
    printf '[admin]\nbind = "127.0.0.1:0"\n'
}

# start_influxd NAME: its address is then in $address. What was written a second ago is in files, as most of what is asked for.
start_influxd() {
    local dir=$work/$1.influxd
    address=127.0.0.1:$(free_port)
    start "$1" env INFLUXDB_META_DIR="$dir/meta" INFLUXDB_DATA_DIR="$dir/data" INFLUXDB_DATA_WAL_DIR="$dir/wal" \
        INFLUXDB_HTTP_BIND_ADDRESS="$address" INFLUXDB_BIND_ADDRESS="127.0.0.1:$(free_port)" \
        INFLUXDB_REPORTING_DISABLED=true INFLUXDB_HTTP_LOG_ENABLED=false INFLUXDB_MONITOR_STORE_ENABLED=false \
        INFLUXDB_DATA_MAX_CONCURRENT_COMPACTIONS=1 INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION=1s influxd run
    wait_for influxd "$perf" ask "$address" GET /ping
}

# start_zookeeper: one of Debian's; its address is then in $address.
start_zookeeper() {
    local jar=/usr/share/java/zookeeper.jar port
    command -v java >/dev/null && [[ -e $jar ]] || die 'ZooKeeper is missing: apt-get install zookeeper'
    port=$(free_port)
    address=127.0.0.1:$port
    printf '%s\n' tickTime=1000 "dataDir=$work/zookeeper" "clientPort=$port" clientPortAddress=127.0.0.1 \
        admin.enableServer=false preAllocSize=1024 >"$work/zoo.cfg"
    start zookeeper java -Xmx128m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
        -cp "$jar:/usr/share/java/slf4j-simple.jar" org.apache.zookeeper.server.quorum.QuorumPeerMain "$work/zoo.cfg"
    # Told by a command of four letters that it always answers.
    wait_for zookeeper bash -c "exec 3<>/dev/tcp/127.0.0.1/$port && echo srvr >&3 && grep -q Mode: <&3"
}

# start_slotline NAME: with that configuration; ready when it returns.
start_slotline() {
    start "$1" "$slotline" serve --config "$work/$1.toml"
    wait_for slotline grep -q serving "$work/$1.log"
    wait_for slotline "$perf" ask "$(listening "$1" http 1)" GET /ready
}

start_backend() {
    start backend "$perf" backend "$@"
    wait_for 'the counting backend' grep -q listening "$work/backend.log"
}

# counted_by_counting ADDR, counted_by_influxd ADDR: lines that the backend at ADDR took.
counted_by_counting() {
    "$perf" ask "$1" GET /counters | json_number lines
}

counted_by_influxd() {
    "$perf" ask "$1" GET /debug/vars | json_number pointsWrittenOK
}

# start_haproxy REPLICA [NAME]: one thread, HTTP, this one server behind it; its address is then in $address.
start_haproxy() {
    local name=${2:-haproxy}
    command -v haproxy >/dev/null || die 'haproxy is missing: apt-get install haproxy'
    address=127.0.0.1:$(free_port)
    cat >"$work/$name.cfg" <<CFG
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend in
    bind $address
    default_backend out
backend out
    server replica $1
CFG
    start "$name" haproxy -db -f "$work/$name.cfg"
    wait_for haproxy "$perf" ask "$address" GET /ping
}
