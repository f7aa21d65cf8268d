# Sourced after lib.sh by the scripts that take replicas away: a cluster whose replicas are processes of their own, load
# in phases, and what came of each phase.
# shellcheck shell=bash disable=SC2154,SC2034  # set by lib.sh and read by the scripts

# By name: g1a and g1b are the replicas of group 1.
declare -A replica_pid replica_addr earlier_lines lines_at_leave
replicas=()
# How a replica is taken away: kill (its port refuses), stop (it hangs), fault (it says 503).
down='kill'
# What the replicas are: counting backends or influxd. Of an influxd its own count is taken, which begins anew with it and
# knows no fault: such replicas can only be stopped.
backend='counting'
# Before a replica that is back counts as one, and before sums are compared.
SETTLE_TRIES=100

# start_replicas GROUPS: two for each group.
start_replicas() {
    local group letter name
    for ((group = 1; group <= $1; group++)); do
        for letter in a b; do
            name=g$group$letter
            replicas+=("$name")
            if [[ $backend == influxd ]]; then
                start_influxd "$name"
                "$perf" ask "$address" POST '/query?q=CREATE%20DATABASE%20perf' >/dev/null
                replica_pid[$name]=$pid replica_addr[$name]=$address earlier_lines[$name]=0
                continue
            fi
            # Below the ports that the kernel hands out: nobody takes it, or connects to itself on it, meanwhile.
            replica_addr[$name]=127.0.0.1:$(free_port)
            start_replica "$name"
        done
    done
}

start_replica() {
    start "$1" "$perf" backend --listen "${replica_addr[$1]}"
    replica_pid[$1]=$pid
    earlier_lines[$1]=${earlier_lines[$1]:-0}
    wait_for "replica $1" grep -q listening "$work/$1.log"
}

# take_down NAME: $lines_at_leave has what it counted by then.
take_down() {
    local name=$1
    lines_at_leave[$name]=$(lines_of "$name")
    case $down in
    kill)
        end "${replica_pid[$name]}"
        # The sums that it printed at its end.
        earlier_lines[$name]=$((earlier_lines[$name] + $(grep '^http ' "$work/$name.log" | json_number lines)))
        lines_at_leave[$name]=${earlier_lines[$name]}
        ;;
    stop) kill -STOP "${replica_pid[$name]}" ;;
    fault) "$perf" ask "${replica_addr[$name]}" POST /fault status=503 >/dev/null ;;
    esac
}

bring_back() {
    case $down in
    kill) start_replica "$1" ;;
    stop) kill -CONT "${replica_pid[$1]}" ;;
    fault) "$perf" ask "${replica_addr[$1]}" POST /fault >/dev/null ;;
    esac
}

# lines_of NAME…: counted by these replicas, in all their lives.
lines_of() {
    local name sum=0
    for name in "$@"; do
        sum=$((sum + earlier_lines[$name] + $("counted_by_$backend" "${replica_addr[$name]}")))
    done
    echo "$sum"
}

reset_lines() {
    local name
    for name in "${replicas[@]}"; do
        earlier_lines[$name]=0
        if [[ $backend == influxd ]]; then
            earlier_lines[$name]=-$(lines_of "$name")
        else
            "$perf" ask "${replica_addr[$name]}" POST /counters/reset >/dev/null
        fi
    done
}

# cluster_config NAME CORES [EXTRA]: writes $work/NAME.toml with all replicas; EXTRA: further sections.
cluster_config() {
    local name=$1 replica group=""
    {
        printf '[server]\ncores = %s\ndata_dir = "%s"\n' "$2" "$work/$name.data"
        printf '[[listen]]\nprotocol = "http"\nbind = "127.0.0.1:0"\n[admin]\nbind = "127.0.0.1:0"\n%s\n' "${3:-}"
        for replica in "${replicas[@]}"; do
            [[ ${replica:1:-1} == "$group" ]] || printf '[[group]]\nid = %s\n' "${replica:1:-1}"
            group=${replica:1:-1}
            printf '  [[group.replica]]\n  name = "%s"\n  url = "http://%s"\n' "$replica" "${replica_addr[$replica]}"
        done
    } >"$work/$name.toml"
}

# need_disk MB: in the directory that data goes to.
need_disk() {
    local free
    free=$(df --output=avail -BM "$work" | tail -n 1 | tr -dc 0-9)
    ((free > $1)) || die "$work has $free MB left, up to $1 are needed: set TMPDIR to a directory on another disk"
}

disk_name() {
    df --output=source,fstype "$work" | tail -n 1 | tr -s ' '
}

# watch NAME: samples the slotline of that name into $work/watch from now on.
watch() {
    local replica of_replicas=()
    watched=$1 watched_pid=$pid
    admin=$(listening "$1" admin 1)
    for replica in "${replicas[@]}"; do
        [[ " ${away[*]} " == *" $replica "* ]] || of_replicas+=(--backend "$replica")
    done
    "$perf" watch --pid "$watched_pid" --admin "$admin" --interval 0.5 "${of_replicas[@]}" >"$work/watch" \
        2>"$work/watch.log" </dev/null &
    watch_pid=$!
    started+=("$watch_pid")
}

end_watch() {
    end "$watch_pid"
}

# sample COLUMN: of the watched slotline, now; "-" where it does not say.
sample() {
    "$perf" watch --pid "$watched_pid" --admin "$admin" --count 1 --interval 0.05 | awk -F '\t' -v name="$1" '
        NR == 1 {for (column = 1; column <= NF; column++) if ($column == name) wanted = column}
        NR == 2 {print $wanted}'
}

# ms_to_others PHASE: what a live write to a replica that stays took in that phase, on average, in milliseconds.
ms_to_others() {
    local from to
    read -r from to < <(awk -v name="$1" 'last == name {print began, $2} {last = $1; began = $2}' "$work/marks")
    awk -F '\t' -v from="$from" -v to="$to" '
        NR == 1 {for (column = 1; column <= NF; column++) kind[column] = $column; next}
        $1 < from || $1 > to {next}
        {
            writes = seconds = 0
            for (column = 1; column <= NF; column++) {
                if (kind[column] ~ /_writes$/) writes += $column
                if (kind[column] ~ /_seconds$/) seconds += $column
            }
            if (!seen++) {first_writes = writes; first_seconds = seconds}
        }
        END {print (writes > first_writes) ? (seconds - first_seconds) / (writes - first_writes) * 1000 : "-"}' "$work/watch"
}

# start_load PHASE LOAD_OPTION…: against the watched slotline, with a first phase.
start_load() {
    local first=$1
    shift
    rm -f "$work/phases" "$work/marks"
    mkfifo "$work/phases"
    "$perf" load --target "$(listening "$watched" http 1)" --phases --json "$@" \
        <"$work/phases" >"$work/load.json" 2>"$work/load.log" &
    load_pid=$!
    started+=("$load_pid")
    exec {phases}>"$work/phases"
    phase "$first"
}

# phase NAME: what is due from now on belongs to it. A name comes once in a run.
phase() {
    kill -0 "$load_pid" 2>/dev/null || die 'the generator ended too early'
    echo "$1" >&"$phases"
    mark "$1"
}

mark() {
    echo "$1 $(date +%s%3N) $(cpu_ticks "$watched_pid") $(sample written_bytes)" >>"$work/marks"
}

# end_load ROWS: ends the run and writes a line for each phase into that file, as `phase_table` reads it.
end_load() {
    mark end
    # An empty line, not the end of the input: replicas started meanwhile hold it open.
    echo >&"$phases"
    exec {phases}>&-
    ended "$load_pid"
    [[ $(json_number points_sent <"$work/load.json") ]] || die 'the generator said nothing'
    local name began ticks written next_began next_ticks next_written line acknowledged sent unanswered
    while read -r name began ticks written next_began next_ticks next_written; do
        [[ $name != warmup ]] || continue
        line=$(grep -F "\"phase\":\"$name\"" "$work/load.json")
        sent=$(json_number points_sent <<<"$line")
        acknowledged=$(json_number points_acknowledged <<<"$line")
        unanswered=$(json_number points_unanswered <<<"$line")
        echo "$name" "$(calc "($next_began - $began) / 1000" 1)" \
            "$(json_number requests <<<"$line")" "$(json_number acknowledged_per_s <<<"$line")" \
            $((sent - acknowledged - unanswered)) "$unanswered" \
            "$(json_number latency_p50_us <<<"$line")" "$(json_number latency_p99_us <<<"$line")" \
            "$(json_number latency_p999_us <<<"$line")" \
            "$(ticks_to_cost $((next_ticks - ticks)) $((sent + 1)))" \
            "$(disk_rate "$written" "$next_written" $((next_began - began)))" \
            "$(awk -F '\t' -v from="$began" -v to="$next_began" '
                $1 >= from && $1 <= to {if ($2 > rss) rss = $2; bytes = $5; points = $6}
                END {printf "%.0f %s %s\n", rss / 1024, bytes ~ /^[0-9]/ ? sprintf("%.1f", bytes / 1e6) : "-",
                     points == "" ? "-" : points}' "$work/watch")"
    done < <(awk 'NR > 1 {print last, $2, $3, $4} {last = $0}' "$work/marks") >"$1"
    sum_of_run=$(tail -n 1 "$work/load.json")
}

# disk_rate BEFORE AFTER MS: MB a second.
disk_rate() {
    [[ $1$2 =~ ^[0-9]+$ ]] && calc "($2 - $1) / 1000 / ($3 + 1)" 1 || echo -
}

# refused: of the last run, by status.
refused() {
    grep -oE '"points_refused":\{[^}]*\}' <<<"$sum_of_run" | cut -d : -f 2-
}

# phase_table BASE ROWS…: a line for each phase, with its ratios to the phase BASE of the same file. Of several files
# the medians; of what was refused or unanswered the sums, of memory the highest.
phase_table() {
    local base=$1
    shift
    awk -v base="$base" '
        function median(count, i, j, t) {
            for (i = 2; i <= count; i++)
                for (j = i; j > 1 && list[j - 1] > list[j]; j--) {t = list[j]; list[j] = list[j - 1]; list[j - 1] = t}
            return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
        }
        # Over the files; "-" where one has no number.
        function of(name, column, ratio, file, count, value) {
            count = 0
            for (file = 1; file <= files; file++) {
                if (!((file, name) in row)) continue
                value = cell[file, name, column]
                if (value !~ /^[0-9]/) return "-"
                if (ratio && !(cell[file, base, column] + 0)) return "-"
                list[++count] = ratio ? value / cell[file, base, column] : value + 0
            }
            return count ? median(count) : "-"
        }
        function total(name, column, file, sum) {
            for (file = 1; file <= files; file++) sum += cell[file, name, column]
            return sum
        }
        function highest(name, column, file, most) {
            for (file = 1; file <= files; file++) if (cell[file, name, column] + 0 > most) most = cell[file, name, column]
            return most
        }
        function show(value, format) {return value == "-" ? value : sprintf(format, value)}
        function ms(value) {return value == "-" ? value : sprintf("%.1f", value / 1000)}
        FNR == 1 {files++}
        {
            row[files, $1]
            if (!($1 in known)) {known[$1]; names[++count] = $1}
            for (column = 2; column <= NF; column++) cell[files, $1, column] = $column
        }
        END {
            form = "%-9s %6s %8s %10s %9s %10s %8s %8s %8s | %6s %6s %6s %6s | %8s %9s %7s %9s\n"
            printf form, "phase", "s", "requests", "points/s", "refused", "unanswered", "p50 ms", "p99 ms", "p99.9",
                "x pt/s", "x p50", "x p99", "x p99.9", "CPU s/M", "disk MB/s", "RSS MB", "spool MB"
            for (i = 1; i <= count; i++) {
                n = names[i]
                printf form, n, show(of(n, 2), "%.1f"), show(of(n, 3), "%.0f"), show(of(n, 4), "%.0f"), total(n, 5),
                    total(n, 6), ms(of(n, 7)), ms(of(n, 8)), ms(of(n, 9)), show(of(n, 4, 1), "%.2f"),
                    show(of(n, 7, 1), "%.2f"), show(of(n, 8, 1), "%.2f"), show(of(n, 9, 1), "%.2f"),
                    show(of(n, 10), "%.3f"), show(of(n, 11), "%.1f"), highest(n, 12), show(of(n, 13), "%.1f")
            }
        }' "$@"
}

# spool_over_time LINES: what the watched slotline's spool held, from the beginning, in about so many lines.
spool_over_time() {
    awk -F '\t' -v wanted="$1" '
        NR == 1 {next}
        {time[++count] = $1; rss[count] = $2; bytes[count] = $5; points[count] = $6}
        END {
            step = int((count + wanted - 1) / wanted); if (step < 1) step = 1
            printf "%8s %10s %12s %8s\n", "s", "spool MB", "points", "RSS MB"
            for (i = 1; i <= count; i += step)
                printf "%8.1f %10s %12s %8.0f\n", (time[i] - time[1]) / 1000,
                    bytes[i] ~ /^[0-9]/ ? sprintf("%.1f", bytes[i] / 1e6) : "-", points[i], rss[i] / 1024
        }' "$work/watch"
}

# wait_empty SECONDS FROM: until the spool of the watched slotline holds no point; $drained is then how long that took
# from the moment FROM, in ms, or "-" where the time did not suffice or slotline has no such metric. What `watch` writes is
# read for it: to ask meanwhile, by processes that come and go, would be a load of its own that other phases do not have.
wait_empty() {
    local head columns column lines tail points=-1 until=$(($2 + $1 * 1000))
    drained=-
    IFS=$'\t' read -ra head <"$work/watch"
    for ((column = 0; column < ${#head[@]}; column++)); do
        [[ ${head[column]} == spool_points ]] && points=$column
    done
    ((points >= 0)) || return 1
    exec {lines}< <(exec tail -n 1 -f "$work/watch")
    tail=$!
    while IFS=$'\t' read -t "$1" -u "$lines" -ra columns && ((columns[0] < until)); do
        if ((columns[0] > $2)) && [[ ${columns[points]} == 0 ]]; then
            drained=$(calc "(${columns[0]} - $2) / 1000" 1)
            break
        fi
    done
    exec {lines}<&-
    kill "$tail"
    [[ $drained != - ]]
}

# compare_lines ACKNOWLEDGED EXACT: what the replicas have counted, against that and, with EXACT, within each group.
# Complains where something is missing.
compare_lines() {
    local try now=-1 last=-2 name group letter sum
    # What is on its way arrives.
    for ((try = 0; try < SETTLE_TRIES && now != last; try++)); do
        last=$now
        sleep 0.5
        now=$(lines_of "${replicas[@]}")
    done
    for name in "${replicas[@]}"; do
        printf '  %s counted %s points\n' "$name" "$(lines_of "$name")"
    done
    for letter in a b; do
        sum=0
        for name in "${replicas[@]}"; do
            [[ $name == *"$letter" ]] && sum=$((sum + $(lines_of "$name")))
        done
        if ((sum < $1)); then
            complain "  MISSING: $1 points were acknowledged, the replicas \"$letter\" of all groups have $sum"
        fi
    done
    [[ ${2:-} ]] || return 0
    for name in "${replicas[@]}"; do
        [[ $name == *b ]] || continue
        group=${name%b}
        sum=$(($(lines_of "$name") - $(lines_of "${group}a")))
        if ((sum < 0)); then
            complain "  MISSING: $name has ${sum#-} points less than ${group}a"
        elif ((sum > 0)); then
            echo "  $name has $sum points more than ${group}a: sent twice, their first answer was not known"
        fi
    done
}

# outage NAME [EXTRA]: a slotline of that name, with EXTRA in its configuration and an empty spool, through all phases;
# prints them and complains of what was not stored. The replicas $away go while those in $here of the same groups stay.
#   of $seconds: healthy; noise, which is the same again; after    of $settle: failing    of $stopped: down
#   until the spool is empty, at most $drain: replay
outage() {
    local name=$1 from here_before took live points bytes sent acknowledged exact="" replica
    cluster_config "$name" "$cores" "${2:-}"
    start_slotline "$name"
    reset_lines
    watch "$name"
    start_load warmup --rate "$rate" --seconds $((seconds * 3 + settle + stopped + drain + 60)) "${options[@]}"
    pause 2
    phase healthy
    pause "$seconds"
    phase noise
    pause "$seconds"
    phase failing
    for replica in "${away[@]}"; do take_down "$replica"; done
    pause "$settle"
    phase down
    pause "$stopped"
    phase replay
    points=$(sample spool_points) bytes=$(sample spool_bytes)
    here_before=$(lines_of "${here[@]}") from=$(date +%s%3N)
    for replica in "${away[@]}"; do bring_back "$replica"; done
    if wait_empty "$drain" "$from"; then
        took=$(lines_of "${away[@]}") live=$(($(lines_of "${here[@]}") - here_before))
        for replica in "${away[@]}"; do took=$((took - lines_at_leave[$replica])); done
        echo "$drained $took $live" >>"$work/drains"
    fi
    # Something to see even where nothing was to be caught up on, or nothing says so.
    [[ $drained != - && ${drained%.*} -gt 2 ]] || pause 3
    phase after
    pause "$seconds"
    end_load "$work/$name.rows"
    phase_table healthy "$work/$name.rows"
    if [[ $points == - ]]; then
        complain 'NO SPOOL: /metrics has no slotline_spool_points'
    else
        printf 'when they came back: %s points in the spool, %s bytes a point\n' "$points" \
            "$(calc "$bytes / ($points + 0.000001)" 0)"
        if [[ $drained == - ]]; then
            complain "NOT EMPTY after $drain s: $(sample spool_points) points in the spool"
        else
            printf 'empty after %s s: the replicas took %s points/s, while %s a second came in anew\n' "$drained" \
                "$(calc "$took / ($drained + 0.001)" 0)" "$(calc "$live / ($drained + 0.001)" 0)"
        fi
        spool_over_time 15
    fi
    sent=$(json_number points_sent <<<"$sum_of_run") acknowledged=$(json_number points_acknowledged <<<"$sum_of_run")
    if [[ $acknowledged == "$sent" ]]; then
        exact=yes
    elif [[ ! ${refusals_expected:-} ]]; then
        complain "NOT STORED: of $sent points $acknowledged were acknowledged; refused by status: $(refused)"
    fi
    [[ $(json_number points_unsent <<<"$sum_of_run") == 0 ]] ||
        complain "LATE: $(json_number points_unsent <<<"$sum_of_run") points that were due were not sent"
    compare_lines "$acknowledged" "$exact"
    end_watch
    end "$watched_pid"
}

# row_value NAME PHASE COLUMN: of the phases of the `outage` NAME.
row_value() {
    awk -v phase="$2" -v column="$3" '$1 == phase {print $column}' "$work/$1.rows"
}
