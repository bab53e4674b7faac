# bench-l2tp-guest.sh - runs inside the guest: our L2TP daemon on `server`, Debian's on `gw2`, both up all the time, the
# client on `pub` with a call to each; they take turns.  A line of /out/results: NAME SERVER VALUE, one for each round.
. /lab/lib/node.sh
. /lab/lib/net.sh
. /lab/lib/server.sh
. /lab/lib/client.sh
. /lab/lib/judge.sh
. /lab/scenarios/l2tp.sh
GW2_LAYER=libreswan
topology cygnet || exit 1
RC=0
declare -A WHERE=([cygnet]=192.0.2.1 [xl2tpd]=203.0.113.30) NODE=([cygnet]=server [xl2tpd]=gw2) INSIDE=([cygnet]=10.20.30 [xl2tpd]=10.20.31)
result() { echo "$1 $NAME $2" >>"$OUT/results"; say "$NAME $1 $2"; }
trouble() { say "$NAME: $*"; RC=1; }

ends() { # ends up|down: FROM, TO and the address of TO, for the call of $NAME
  local n=${NODE[$NAME]}
  if [ "$1" = up ]; then FROM=pub TO=$n AT=${INSIDE[$NAME]}.1; else FROM=$n TO=pub AT=${CALLER[$NAME]}; fi
}
tcp() { # tcp up|down: REPLY = Mbit/s
  local log=$OUT/$NAME-tcp-$1.log
  ends "$1"
  nx "$FROM" timeout 20 iperf3 -c "$AT" -t 2 -f m >"$log" 2>&1
  REPLY=$(grep -o '[0-9.]* Mbits/sec *receiver' "$log")
  REPLY=${REPLY%% *}
  [ -n "$REPLY" ] || { trouble "tcp $*: $(tail -1 "$log")"; return 1; }
}
old_words() { sed -i '/^listen-plain/d;/^max/d' "/n/$1/etc/xl2tpd/xl2tpd.conf"; }
start() { # start GLOBAL: both daemons, with these lines in [global]
  for NAME in cygnet xl2tpd; do
    local n=${NODE[$NAME]}
    L2TP_NET=${INSIDE[$NAME]} lns_files "$n" "$1" auth require-chap novj
    [ "$NAME" = cygnet ] || old_words "$n"
    sed -i '/^ppp debug/d' "/n/$n/etc/xl2tpd/xl2tpd.conf"
    sed -i '/^debug/d' "/n/$n/etc/ppp/options.lns"
    l2tp_start "$n" || { trouble "does not start"; return 1; }
  done
}
declare -A CALLER
calls() { # one call to each
  lac_files pub 192.0.2.1 alice secret-a noccp novj
  sed '/^\[lac/,$!d;s/^\[lac.*/[lac other]/;s/192.0.2.1/203.0.113.30/' /n/pub/etc/xl2tpd/xl2tpd.conf >/n/pub/etc/other
  cat /n/pub/etc/other >>/n/pub/etc/xl2tpd/xl2tpd.conf
  l2tp_start pub || { trouble "client does not start"; return 1; }
  for n in pub server gw2; do nx $n iperf3 -s -D >/dev/null 2>&1; done
  for NAME in cygnet xl2tpd; do
    local lac=vpn
    [ $NAME = cygnet ] || lac=other
    mark pub
    echo "c $lac" >/n/pub/run/xl2tpd/l2tp-control
    wait_for 20 logged pub "local  IP address ${INSIDE[$NAME]}" || { trouble "no ppp"; return 1; }
    [[ $TEXT =~ 'local  IP address '(${INSIDE[$NAME]}.[0-9]+) ]] && CALLER[$NAME]=${BASH_REMATCH[1]}
    wait_for 5 nx pub ping -n -c1 -W1 "${INSIDE[$NAME]}.1" || { trouble "no ping"; return 1; }
  done
}
stop() {
  for n in pub server gw2; do sig $n TERM iperf3; done
  l2tp_end pub server gw2
}

through() { # through PATH GLOBAL
  local r d
  start "$2" && calls || return
  for ((r = 1; r <= ROUNDS; r++)); do
    for d in up down; do
      for NAME in cygnet xl2tpd; do tcp $d && result "$1-$d-tcp-mbit/s" "$REPLY"; done
    done
  done
  stop
}
pty() { through pty 'force userspace = yes'; }
kernel() { ROUNDS=$((5 * ROUNDS)) through kernel ''; }
load() { # load OPTION...: the load tool against the server of $NAME; TEXT = its figures
  local n=${NODE[$NAME]} log=$OUT/$NAME.load pid= p c
  # the process id outside of the node
  for p in $(ip netns pids "$n"); do
    read -r c <"/proc/$p/comm"
    [ "$c" != xl2tpd ] || pid=$p
  done
  nsenter --net=/run/netns/pub "$L2TPLOAD" --pid "$pid" "$@" "${WHERE[$NAME]}" >"$log" 2>&1 || trouble "load $*: $(head -1 "$log")"
  slurp "$log"
}
figure() { # figure KEY NAME
  [[ $TEXT =~ \"$1\":([0-9.]+) ]] && printf -v REPLY '%.1f' "${BASH_REMATCH[1]}" && result "$2" "$REPLY"
}
servers() { # servers GLOBAL: both daemons with a large pool and nobody calling
  start "$1" || return
  for n in server gw2; do
    sig $n KILL xl2tpd
    wait_for 5 gone $n xl2tpd
    rm -f "/n/$n/run/xl2tpd.pid"
    sed -i "s/^ip range.*/ip range = 10.64.0.1-10.64.255.254/" "/n/$n/etc/xl2tpd/xl2tpd.conf"
    l2tp_start $n || return
  done
}
end() { # without a farewell
  local n
  for n in server gw2; do
    sig $n KILL xl2tpd; sig $n KILL pppd
    wait_for 20 gone $n xl2tpd pppd
    rm -f "/n/$n/run/xl2tpd.pid"
  done
}
frames() { # frames through one call, the load tool in pppd's place
  local r n w
  local -A stub=([up]=sink [down]=source:)
  for n in server gw2; do mount --bind "$L2TPLOAD" "/n/$n/usr/sbin/pppd" || return; done
  for ((r = 1; r <= ROUNDS; r++)); do
    for w in up:64 up:576 up:1400 down:64 down:576 down:1400; do
      export L2TPLOAD_PPPD=${stub[${w%:*}]}
      [ "${w%:*}" = up ] || L2TPLOAD_PPPD+=${w#*:}
      servers "$MANY" || return
      for NAME in cygnet xl2tpd; do
        load "--${w%:*}" "${w#*:}"
        figure mbit_s "guest-frames-${w/:/-}-mbit/s"; figure cpu_us_per_frame "guest-frames-${w/:/-}-cpu-us"
      done
      end
    done
  done
  unset L2TPLOAD_PPPD
  for n in server gw2; do umount "/n/$n/usr/sbin/pppd"; done
}
MANY=$'force userspace = yes\nmax half open per peer = 30000\nmax half open = 30000\nmax tunnels = 30000\nmax calls = 30000'
setup() {
  local r n
  # a pppd that only waits: what starting one costs is the same for both
  for n in server gw2; do mount --bind "$L2TPLOAD" "/n/$n/usr/sbin/pppd" || return; done
  for ((r = 1; r <= ROUNDS; r++)); do
    servers "$MANY" || return
    for NAME in cygnet xl2tpd; do
      load --count "$CALLS" --in-flight 8
      figure per_second calls-with-pppd/s; figure cpu_us_per_call call-with-pppd-cpu-us
    done
    end
  done
  for n in server gw2; do umount "/n/$n/usr/sbin/pppd"; done
  # asked for and answered: pppd is not in it
  for ((r = 1; r <= ROUNDS; r++)); do
    servers "$MANY" || return
    for NAME in cygnet xl2tpd; do
      load --count 2000 --in-flight 64 --no-connect
      figure per_second calls/s; figure cpu_us_per_call call-cpu-us
    done
    end
  done
}
scale() {
  NAME=cygnet
  servers "$MANY"$'\npppd = none' || return
  load --count 10000 --in-flight 16 --stay 30
  figure per_second 10000-tunnels-calls/s; figure cpu_us_per_call 10000-tunnels-call-cpu-us
  figure rss_bytes_per_call 10000-tunnels-octets/call; figure idle_cpu_percent 10000-tunnels-idle-cpu-percent
  end
}
for part in ${PARTS//,/ }; do $part || trouble "$part was not measured"; done
exit $RC
