#!/usr/bin/env bash
# Everything side by side: our stack on a TAP with and without offload, smoltcp on its own TAP device,
# the kernel over veth, and a bare loop on a TAP, all loaded by the same client from the kernel.
#
#   benches/compare.sh [--quick]        as root, or as a user who may make user namespaces
#
# Needs iproute2, nginx and wrk. Everything runs in network and process namespaces of
# its own, which end with it. Each figure is the median of the rounds; ratios compare those of one run.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=5 seconds=3 pings=20000 held=10000
if [ "${1-}" = --quick ]; then rounds=1 seconds=1 pings=2000 held=1000; fi

if [ -z "${COMPARE_INSIDE-}" ]; then
    for program in ip nginx wrk unshare nsenter; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || { echo "compare.sh: $program is missing" >&2; exit 2; }
    done
    cargo build --release --locked --quiet -p tapping
    cargo build --release --locked --quiet -p tapping-benches --example compare
    user=()
    [ "$(id -u)" = 0 ] || user=(--user --map-root-user)
    COMPARE_INSIDE=1 exec unshare "${user[@]}" --net --mount --pid --fork --kill-child --mount-proc "$0" "$@"
fi

PATH=$PATH:/usr/sbin:/sbin
target=${CARGO_TARGET_DIR:-target}/release
tapping=$target/tapping compare=$target/examples/compare
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
ulimit -n "$(ulimit -Hn)"

# Starts a server and waits until it says that it is ready. Leaves its pid in $server.
start() { # NAME COMMAND...
    local name=$1; shift
    "$@" >"$scratch/$name.out" 2>"$scratch/$name.err" &
    server=$!
    for _ in $(seq 100); do
        grep -q ready "$scratch/$name.out" && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    echo "compare.sh: $name does not serve:" >&2
    cat "$scratch/$name.err" >&2
    exit 1
}

tap() { # NAME SUBNET: a TAP for those that do not configure theirs
    ip tuntap add "$1" mode tap
    ip address add "$2.1/24" dev "$1"
    ip link set "$1" up
}

# --- the network
ip link set lo up
echo 0 0 >/proc/sys/net/ipv4/ping_group_range
echo 1024 65000 >/proc/sys/net/ipv4/ip_local_port_range
[ ! -d /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
mkdir "$scratch/www"
head -c 612 /dev/zero | tr '\0' x >"$scratch/www/index.html"

services=(--discard 9 --chargen 19 --udp-echo 7 --http "80=$scratch/www")
start tapping "$tapping" serve --tap tapo --addr 10.1.0.2/24 --host-addr 10.1.0.1/24 "${services[@]}"
ours=$server
start tapping-mtu1500 "$tapping" serve --tap tapn --no-offload --addr 10.2.0.2/24 --host-addr 10.2.0.1/24 "${services[@]}"
tap taps 10.3.0
start smoltcp "$compare" smoltcp taps 10.3.0.2/24
tap tapb 10.4.0
start bare "$compare" bare tapb
unshare --net sleep infinity &
other=$!
sleep 0.2
ip link add veth0 type veth peer name veth1 netns "$other"
ip address add 10.5.0.1/24 dev veth0
ip link set veth0 up
there() { nsenter --target "$other" --net "$@"; }
there ip address add 10.5.0.2/24 dev veth1
there ip link set veth1 up
there ip link set lo up
start kernel nsenter --target "$other" --net "$compare" kernel 10.5.0.2
cat >"$scratch/nginx.conf" <<CONF
daemon off;
pid $scratch/nginx.pid;
error_log stderr crit;
worker_processes 1;
worker_rlimit_nofile 60000;
events { worker_connections 50000; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    types { text/html html; }
    client_body_temp_path $scratch/t1; proxy_temp_path $scratch/t2; fastcgi_temp_path $scratch/t3;
    uwsgi_temp_path $scratch/t4; scgi_temp_path $scratch/t5;
    server { listen 10.5.0.2:80 backlog=4096; root $scratch/www; }
}
CONF
# It serves files as whoever it runs as; in a user namespace that is the user alone.
[ "$(id -u)" != 0 ] || sed -i '1i user root;' "$scratch/nginx.conf"
there nginx -c "$scratch/nginx.conf" 2>"$scratch/nginx.err" &
sleep 1

# --- the measuring
declare -A figures
note() { figures[$1]+="$2 "; }
median() { tr ' ' '\n' <<<"${figures[$1]-}" | sort -g | awk 'NF {v[++n]=$1} END {print n ? v[int((n + 1) / 2)] : "nan"}'; }

requests() { # ADDRESS [HEADER]: requests per second
    wrk -t1 -c64 -d"${seconds}s" ${2:+-H "$2"} "http://$1/" 2>&1 | awk '/^Requests\/sec/ {print $2}'
}

declare -A address=([tapping]=10.1.0.2 [tapping_mtu1500]=10.2.0.2 [smoltcp]=10.3.0.2 [bare]=10.4.0.2 [kernel]=10.5.0.2)
for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    for who in tapping tapping_mtu1500 smoltcp kernel; do
        note "send1 $who" "$("$compare" send "${address[$who]}:9" "$seconds" 1)"
        note "receive1 $who" "$("$compare" receive "${address[$who]}:19" "$seconds" 1)"
        note "send8 $who" "$("$compare" send "${address[$who]}:9" "$seconds" 8)"
        note "receive8 $who" "$("$compare" receive "${address[$who]}:19" "$seconds" 8)"
    done
    for who in tapping tapping_mtu1500 smoltcp bare kernel; do
        note "datagrams $who" "$("$compare" datagrams "${address[$who]}:7" "$seconds" 64)"
        note "ping $who" "$("$compare" pings "${address[$who]}" "$pings" 0)"
        note "sleeping $who" "$("$compare" pings "${address[$who]}" $((pings / 10)) 200)"
    done
    for who in tapping kernel; do
        note "requests $who" "$(requests "${address[$who]}")"
        note "connections $who" "$(requests "${address[$who]}" 'Connection: close')"
    done
done

# One that does not sleep takes a processor from the others, so it runs only now.
start busy "$tapping" serve --tap tapy --busy-poll --addr 10.6.0.2/24 --host-addr 10.6.0.1/24 --udp-echo 7
for _ in $(seq "$rounds"); do
    note "ping busy" "$("$compare" pings 10.6.0.2 "$pings" 0)"
    note "sleeping busy" "$("$compare" pings 10.6.0.2 $((pings / 10)) 200)"
    note "datagrams busy" "$("$compare" datagrams 10.6.0.2:7 "$seconds" 64)"
done
kill "$server"

# --- memory of open connections
resident() { awk '/^VmRSS/ {print $2}' "/proc/$1/status"; }
before=$(resident "$ours")
mkfifo "$scratch/end"
"$compare" hold 10.1.0.2:80 "$held" <"$scratch/end" >"$scratch/held" &
exec 3>"$scratch/end"
for _ in $(seq 600); do grep -q ready "$scratch/held" && break; sleep 0.1; done
after=$(resident "$ours")
exec 3>&-

# --- the table
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {if (b > 0) printf "%.2f", a / b; else print "-"}'; }
row() { # TITLE KEY SCALE WHO... : figures, and ours as a ratio to each of the others
    local title=$1 key=$2 scale=$3; shift 3
    printf '%-44s' "$title"
    local mine; mine=$(median "$key $1")
    for who in "$@"; do
        local theirs; theirs=$(median "$key $who")
        printf ' | %s %s' "$who" "$(awk -v v="$theirs" -v s="$scale" 'BEGIN {printf "%.4g", v / s}')"
        [ "$who" = "$1" ] || printf ' (%sx)' "$(ratio "$mine" "$theirs")"
    done
    printf '\n'
}
echo "In parentheses: the first of the line divided by this one."
row 'TCP in, 1 flow, Gbit/s' send1 1e9 tapping kernel smoltcp
row 'TCP out, 1 flow, Gbit/s' receive1 1e9 tapping kernel smoltcp
row 'TCP in, 1 flow, no offload, Gbit/s' send1 1e9 tapping_mtu1500 smoltcp
row 'TCP out, 1 flow, no offload, Gbit/s' receive1 1e9 tapping_mtu1500 smoltcp
row 'TCP in, 8 flows, Gbit/s' send8 1e9 tapping kernel
row 'TCP out, 8 flows, Gbit/s' receive8 1e9 tapping kernel
printf '%-44s | in %s | out %s\n' '8 flows / 1 flow' \
    "$(ratio "$(median 'send8 tapping')" "$(median 'send1 tapping')")" \
    "$(ratio "$(median 'receive8 tapping')" "$(median 'receive1 tapping')")"
row 'ping, back to back, us' ping 1 tapping bare kernel smoltcp
row 'ping, back to back, --busy-poll, us' ping 1 busy kernel bare
row 'ping after a pause, us' sleeping 1 tapping bare kernel
row 'ping after a pause, --busy-poll, us' sleeping 1 busy kernel bare
row 'UDP echo of 64 bytes, 1000/s' datagrams 1e3 tapping bare kernel smoltcp
row 'HTTP requests, 1000/s (kernel: nginx)' requests 1e3 tapping kernel
row 'HTTP connections, 1000/s (kernel: nginx)' connections 1e3 tapping kernel
printf '%-44s | %s connections: %s bytes each\n' 'memory of open HTTP connections' "$held" \
    $(((after - before) * 1024 / held))
