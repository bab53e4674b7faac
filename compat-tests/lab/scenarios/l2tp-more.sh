# l2tp-more.sh - our L2TP daemon beside IPsec, RADIUS, many callers, and NetworkManager's way of dialling.
# Sourced inside the guest.  Nodes and helpers are those of l2tp.sh.

# Through IPsec: the HOWTO's server on a pty, then without its tty words in the kernel; how fast each of them is.
sc_l2tp_ipsec() {
  local path f esp clear json
  nx lanhost iperf3 -s -D >/dev/null 2>&1
  for path in pty kernel; do
    [ $path = pty ] || sed -i '/^crtscts/d;/^lock/d' /n/server/etc/ppp/options.l2tpd
    client pub alice && connect pub || return
    json=$(nx server xl2tpd-control status --json)
    [[ $json == *"\"path\":\"$path\""* ]] || fail "not on the $path path: $json" || return
    capture "l2tp-ipsec-$path"
    ping_lan pub || fail "$path: no ping" || return
    capture_end
    count "$ESP_FILTER"; esp=$REPLY
    count 'udp port 1701'; clear=$REPLY
    [ "$esp" -ge 2 ] && [ "$clear" = 0 ] || fail "$path: $esp ESP packets, $clear in clear" || return
    for f in '' -R; do
      # shellcheck disable=SC2086
      nx pub timeout 20 iperf3 -c 192.168.1.10 -t 3 $f -f m >"$OUT/iperf-$path$f.log" 2>&1
      REPLY=$(grep -o '[0-9.]* Mbits/sec *receiver' "$OUT/iperf-$path$f.log")
      [ -n "$REPLY" ] || fail "$path: iperf3 $f: $(tail -1 "$OUT/iperf-$path$f.log")" || return
      note "$path${f:+ down} ${REPLY%% *} Mbit/s"
    done
    hangup pub
    wait_for 15 gone server pppd || fail "$path: pppd stays" || return
  done
  cp /lab/server/ppp/options.l2tpd /n/server/etc/ppp/options.l2tpd
}

# Users from a real RADIUS server through pppd's plugin: address, accounting, refusal.
radius_files() { # radius_files NODE
  local e=/n/$1/etc
  mkdir -p "$e/raddb" "$e/radiusclient"
  : >"$e/raddb/dictionary"
  cat >"$e/raddb/users" <<E
carol Cleartext-Password := "secret-c"
	Framed-IP-Address = $L2TP_NET.77, Session-Timeout = 3600
dave Cleartext-Password := "secret-d"
E
  cat >"$e/raddb/radiusd.conf" <<'E'
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = /etc/raddb
logdir = /var/log
run_dir = /run
name = radiusd
pidfile = ${run_dir}/radiusd.pid
security { allow_vulnerable_openssl = yes }
log { destination = files
      file = /var/log/radius.log
      auth = yes }
thread pool { start_servers = 1 }
client lab { ipaddr = 127.0.0.1
             secret = between-pppd-and-radius }
modules {
  chap { }
  pap { }
  files { filename = /etc/raddb/users }
  detail { filename = /var/log/radius.acct }
}
server default {
  listen { type = auth
           ipaddr = 127.0.0.1
           port = 1812 }
  listen { type = acct
           ipaddr = 127.0.0.1
           port = 1813 }
  authorize {
    chap
    files
    pap
  }
  authenticate {
    Auth-Type PAP {
      pap
    }
    Auth-Type CHAP {
      chap
    }
  }
  accounting {
    detail
  }
}
E
  cat >"$e/radiusclient/radiusclient.conf" <<'E'
auth_order radius
login_tries 4
login_timeout 60
nologin /etc/nologin
issue /etc/radiusclient/issue
authserver 127.0.0.1:1812
acctserver 127.0.0.1:1813
servers /etc/radiusclient/servers
dictionary /etc/radiusclient/dictionary
login_radius /usr/sbin/login.radius
seqfile /run/radius.seq
mapfile /etc/radiusclient/port-id-map
default_realm
radius_timeout 3
radius_retries 3
login_local /bin/login
E
  # pppd asks for the address of its own host name
  echo '127.0.0.1 (none)' >>"$e/hosts"
  echo '127.0.0.1 between-pppd-and-radius' >"$e/radiusclient/servers"
  : >"$e/radiusclient/port-id-map"
  # RFC 2865 and 2866, as far as pppd uses them
  printf 'ATTRIBUTE %s\n' 'User-Name 1 string' 'User-Password 2 string' 'CHAP-Password 3 string' 'NAS-IP-Address 4 ipaddr' \
    'NAS-Port 5 integer' 'Service-Type 6 integer' 'Framed-Protocol 7 integer' 'Framed-IP-Address 8 ipaddr' \
    'Framed-IP-Netmask 9 ipaddr' 'Framed-MTU 12 integer' 'Reply-Message 18 string' 'State 24 string' 'Class 25 string' \
    'Vendor-Specific 26 string' 'Session-Timeout 27 integer' 'Idle-Timeout 28 integer' 'Called-Station-Id 30 string' \
    'Calling-Station-Id 31 string' 'NAS-Identifier 32 string' 'Acct-Status-Type 40 integer' 'Acct-Delay-Time 41 integer' \
    'Acct-Input-Octets 42 integer' 'Acct-Output-Octets 43 integer' 'Acct-Session-Id 44 string' 'Acct-Authentic 45 integer' \
    'Acct-Session-Time 46 integer' 'Acct-Input-Packets 47 integer' 'Acct-Output-Packets 48 integer' \
    'Acct-Terminate-Cause 49 integer' 'CHAP-Challenge 60 string' 'NAS-Port-Type 61 integer' 'Acct-Interim-Interval 85 integer' \
    >"$e/radiusclient/dictionary"
}
sc_l2tp_radius() {
  local how acct=/n/gw2/var/log/radius.acct
  l2tp_end gw2 pub
  radius_files gw2
  nx gw2 freeradius -f -d /etc/raddb -D /usr/share/freeradius </dev/null >"$OUT/radius.out" 2>&1 &
  disown
  wait_for 20 grep -q 'Ready to process' /n/gw2/var/log/radius.log || fail "FreeRADIUS does not start: $(tail -1 "$OUT/radius.out")" || return
  lns_files gw2 'force userspace = yes' auth require-chap 'plugin radius.so'
  lac_files pub 203.0.113.30 carol secret-c noccp
  l2tp_start gw2 && l2tp_start pub || fail "daemons do not start" || return
  for how in chap pap; do
    sed -i "s/^require-.*/require-$how/" /n/gw2/etc/ppp/options.lns
    rm -f $acct
    l2tp_dial pub || { WHY="$how: $WHY"; return 1; }
    [ "${CLIENT_IP[pub]}" = $L2TP_NET.77 ] || fail "$how: carol has ${CLIENT_IP[pub]}, not the address of RADIUS" || return
    wait_for 15 pool_has gw2 "$L2TP_NET.77 call [0-9]* user carol" || fail "$how: the pool does not know RADIUS' address" || return
    [[ $(nx gw2 xl2tpd-control show pool) == *'in use: 1'* ]] || fail "$how: the pool's own address is not back" || return
    wait_for 15 grep -q 'Acct-Status-Type = Start' $acct || fail "$how: no accounting start" || return
    echo "d vpn" >/n/pub/run/xl2tpd/l2tp-control
    wait_for 15 gone pub pppd && wait_for 15 gone gw2 pppd || fail "$how: pppd stays" || return
    wait_for 15 grep -q 'Acct-Status-Type = Stop' $acct || fail "$how: no accounting stop" || return
    grep -q "Framed-IP-Address = $L2TP_NET.77" $acct && grep -Eq 'Acct-Input-Octets = [1-9]' $acct || fail "$how: nothing accounted" || return
    note "$how ${PPP_S}s"
  done
  sed -i 's/^name .*/name dave/;s/^password .*/password wrong/' /n/pub/etc/ppp/options.client
  mark gw2
  echo "c vpn" >/n/pub/run/xl2tpd/l2tp-control
  wait_for 15 logged gw2 'authentication failed: the peer did not prove' || fail "a refusal of RADIUS is not told" || return
  sig gw2 TERM freeradius
  sed -i '/(none)/d' /n/gw2/etc/hosts
  l2tp_end gw2 pub
}

# Many callers at once: one client with a tunnel and a pppd for each.
CALLS=${CALLS:-200}
ppps_up() { # ppps_up NODE N: N interfaces of PPP are there; without a process, the pppds need the processor
  local l n=0 lines
  mapfile -t lines <"/n/$1/proc/1/net/dev"
  for l in "${lines[@]}"; do [[ $l != *ppp*:* ]] || n=$((n + 1)); done
  [ $n -ge "$2" ] || { pause 0.2; return 1; }
}
calls_up() { # calls_up NODE N: its xl2tpd has N calls with an interface; REPLY = how many
  REPLY=$(nx "$1" xl2tpd-control show calls | grep -c ' ppp[0-9]')
  [ "$REPLY" -ge "$2" ]
}
# dial_one N: as xl2tpd-control does it, without a process.  Debian's xl2tpd loses a command that comes while it closes its
# FIFO; it removes the file when it has answered.
dial_one() {
  local try rc=1
  exec 8<>"/n/pub/run/dial/$1"
  for try in 1 2 3 4 5; do
    echo "@/run/dial/$1 c vpn$1" >/n/pub/run/xl2tpd/l2tp-control
    read -r -t 4 -u 8 REPLY && { rc=0; break; }
  done
  exec 8<&-
  return $rc
}
sc_l2tp_many() {
  local i t c=/n/pub/etc/xl2tpd/xl2tpd.conf addrs n answers
  mapfile -t answers < <(seq "$CALLS")
  l2tp_end gw2 pub
  # all of them come from one address at once, and none waits for its turn
  lns_files gw2 $'force userspace = yes\nmax half open per peer = 256' auth require-chap
  sed -i 's/^ppp debug.*//' /n/gw2/etc/xl2tpd/xl2tpd.conf
  sed -i '/^debug/d' /n/gw2/etc/ppp/options.lns
  lac_files pub 203.0.113.30 alice secret-a noccp
  # Debian's scripts run a shell for each of their folder's, which is most of what a call would cost here
  rm -f /n/{gw2,pub}/etc/ppp/{ip,ipv6}-{up,down}
  sed -i '/^debug/d' /n/pub/etc/ppp/options.client
  printf '[global]\nforce userspace = yes\n' >"$c"
  for ((i = 1; i <= CALLS; i++)); do
    printf '[lac vpn%d]\nlns = 203.0.113.30\npppoptfile = /etc/ppp/options.client\nredial = yes\nredial timeout = 5\n' $i
  done >>"$c"
  echo noipv6 | tee -a /n/gw2/etc/ppp/options.lns /n/pub/etc/ppp/options.client >/dev/null
  # 400 pppds on one slow processor: LCP's usual patience
  sed -i 's/lcp-restart 1/lcp-restart 3/' /n/gw2/etc/ppp/options.lns /n/pub/etc/ppp/options.client
  l2tp_start gw2 && l2tp_start pub || fail "daemons do not start" || return
  t=${EPOCHREALTIME/./}
  mkdir -p /n/pub/run/dial
  mkfifo "${answers[@]/#//n/pub/run/dial/}" || fail "no FIFOs" || return
  for i in "${answers[@]}"; do
    dial_one "$i" || fail "vpn$i is not dialled" || return
    # Debian's xl2tpd does not come to its acknowledgements when all dial at once
    wait_for 60 ppps_up gw2 $((i - 10)) || fail "with $i dialled only $REPLY are up" || return
  done
  since "$t"
  say "dialled in ${REPLY}s"
  wait_for 200 ppps_up gw2 "$CALLS"
  wait_for 30 calls_up gw2 "$CALLS" || { calls_up gw2 1; fail "only $REPLY of $CALLS calls are up"; return; }
  since "$t"
  note "$CALLS calls ${REPLY}s"
  nx gw2 xl2tpd-control show calls >"$OUT/show-calls.log"
  addrs=$(grep -o "$L2TP_NET\.[0-9]*" "$OUT/show-calls.log" | sort -u | wc -l)
  [ "$addrs" = "$CALLS" ] || fail "$addrs addresses for $CALLS calls" || return
  for i in 0 $((CALLS / 2)) $((CALLS - 1)); do
    # the last may have their interface and not yet their address
    wait_for 60 nx pub ping -n -c1 -W3 -I "ppp$i" $L2TP_NET.1 || fail "no ping through ppp$i" || return
  done
  procs gw2 xl2tpd
  while read -r n t i; do [ "$n" != VmRSS: ] || note "rss $t kB"; done <"/n/gw2/proc/${REPLY%% *}/status"
  t=${EPOCHREALTIME/./}
  sig pub INT xl2tpd # at TERM it says nothing
  wait_for 60 gone gw2 pppd || fail "pppds stay when the clients go" || return
  since "$t"
  note "down ${REPLY}s"
  [[ $(nx gw2 xl2tpd-control show pool) == *'in use: 0'* ]] || fail "addresses are not back in the pool" || return
  l2tp_end gw2 pub
}

# the server is Debian's: without the keywords that are ours alone
old_words() { sed -i '/^listen-plain/d' "/n/$1/etc/xl2tpd/xl2tpd.conf"; }

# As NetworkManager-l2tp dials: files and FIFO of its own, port 0, options for its plugin, SIGTERM in the end; the server is
# Debian's xl2tpd.
sc_l2tp_nm() {
  local d=/run/nm-l2tp-8bc7 pid rc t path
  l2tp_end gw2 pub
  lns_files pub '' auth require-mschap-v2
  old_words pub
  l2tp_start pub || fail "pub: xl2tpd does not start" || return
  echo "ms-dns $L2TP_NET.53" >>/n/pub/etc/ppp/options.lns
  printf '%s\n' '#!/bin/sh' 'echo "$1 $4 $5 $6 dns=$DNS1" >>/run/ip-script' >/n/gw2/etc/ppp/ip-up
  chmod 755 /n/gw2/etc/ppp/ip-up
  for path in kernel pty; do
    mkdir -p "/n/gw2$d"
    cat >"/n/gw2$d/xl2tpd.conf" <<E
[global]
access control = yes
port = 0
[lac l2tp]
lns = 203.0.113.10
pppoptfile = $d/ppp-options
autodial = yes
ppp debug = yes
tunnel rws = 8
tx bps = 100000000
rx bps = 100000000
E
    [ $path = kernel ] || sed -i 's/^port/force userspace = yes\nport/' "/n/gw2$d/xl2tpd.conf"
    printf '%s\n' debug 'ipparam nm-l2tp-service-8bc7' nodetach usepeerdns noipdefault nodefaultroute noauth refuse-eap \
      'lcp-echo-failure 5' 'lcp-echo-interval 30' mtu\ 1400 mru\ 1400 'name alice' 'password secret-a' lcp-restart\ 1 \
      >"/n/gw2$d/ppp-options"
    rm -f /n/gw2/run/ip-script
    t=${EPOCHREALTIME/./}
    { nx gw2 xl2tpd -D -c $d/xl2tpd.conf -C $d/xl2tpd-control -p $d/xl2tpd.pid </dev/null >"$OUT/nm-$path.log" 2>&1
      echo $? >"$OUT/nm.rc"; } &
    pid=$!
    wait_for 16 grep -q "^ppp0 .* $L2TP_NET.1 nm-l2tp-service-8bc7 dns=$L2TP_NET.53" /n/gw2/run/ip-script ||
      fail "$path: no ip-up with its ipparam in 16 s: $(tail -1 "$OUT/nm-$path.log")" || return
    since "$t"
    note "$path ${REPLY}s"
    wait_for 15 nx gw2 ping -n -c1 -W1 $L2TP_NET.1 || fail "$path: no ping" || return
    [[ $(nx gw2 xl2tpd-control -c $d/xl2tpd-control status --json) == *"\"path\":\"$path\""* ]] || fail "not on the $path path" || return
    t=${EPOCHREALTIME/./}
    sig gw2 TERM xl2tpd
    wait "$pid"
    since "$t"
    note "end ${REPLY}s"
    [ "${REPLY%.*}" -lt 5 ] || fail "$path: the end takes ${REPLY}s" || return
    read -r rc <"$OUT/nm.rc"
    [ "$rc" = 0 ] && gone gw2 pppd || fail "$path: exit $rc, or a pppd is left" || return
    # NetworkManager removes what it has made, then the folder
    rm -f "/n/gw2$d"/{xl2tpd.conf,ppp-options}
    rmdir "/n/gw2$d" || fail "$path: left in $d: $(ls "/n/gw2$d")" || return
  done
  rm -f /n/gw2/etc/ppp/ip-up
  l2tp_end gw2 pub
}

# The log of a whole session, in both roles: what Debian's xl2tpd says, ours says too, numbers apart; ours may say more
# in a line.
declare -A SAID
said() { # said KEY NODE: adds what its xl2tpd has said since the last mark, one line of each kind
  local l
  slurp "/n/$2/var/log/syslog"
  while IFS= read -r l; do
    [[ $l =~ xl2tpd\[[0-9]+\]:\ (.*) ]] || continue
    l=${BASH_REMATCH[1]}
    l=${l//[0-9]/N}
    while [[ $l == *NN* ]]; do l=${l//NN/N}; done
    [[ ${SAID[$1]:-} == *$'\n'"$l"$'\n'* ]] || SAID[$1]+=$'\n'"$l"$'\n'
  done <<<"${TEXT:${MARK[$2]:-0}}"
}
both_end() { # both_end LAC LNS WHAT: after WHAT neither has a pppd
  local n t=${EPOCHREALTIME/./}
  for n in "$1" "$2"; do
    wait_for 15 gone "$n" pppd || { nx "$n" ps -ef >"$OUT/ps-$n" 2>&1; fail "$n: pppd stays after $3"; } || return
  done
  since "$t"
  echo "$3 $REPLY" >>"$OUT/ends"
  pause 1
}
log_session() { # log_session LNS LAC SERVER_ADDRESS KEY_LNS KEY_LAC
  local lns=$1 lac=$2
  l2tp_end gw2 pub
  lns_files "$lns" 'force userspace = yes' auth require-chap
  [ "$lns" = gw2 ] || old_words "$lns"
  lac_files "$lac" "$3" alice secret-a noccp
  sed -i '1i [global]\nforce userspace = yes\nmax retries = 2' "/n/$lac/etc/xl2tpd/xl2tpd.conf"
  mark "$lns" "$lac"
  local from_lns=${MARK[$lns]} from_lac=${MARK[$lac]}
  l2tp_start "$lns" && l2tp_start "$lac" || fail "daemons do not start" || return
  # the client ends it; then the server's pppd; then the server; then there is none
  l2tp_dial "$lac" || return
  echo "d vpn" >"/n/$lac/run/xl2tpd/l2tp-control"
  both_end "$lac" "$lns" "the client's d" || return
  l2tp_dial "$lac" || return
  sig "$lns" TERM pppd
  both_end "$lac" "$lns" "the end of the server's pppd" || return
  echo "d vpn" >"/n/$lac/run/xl2tpd/l2tp-control"
  pause 1
  l2tp_dial "$lac" || return
  sig "$lns" INT xl2tpd
  both_end "$lac" "$lns" "the end of the server" && wait_for 15 gone "$lns" xl2tpd || fail "the server's xl2tpd stays" || return
  rm -f "/n/$lns/run/xl2tpd.pid"
  echo "c vpn" >"/n/$lac/run/xl2tpd/l2tp-control"
  pause 9
  sig "$lac" TERM xl2tpd
  wait_for 5 gone "$lac" xl2tpd
  MARK[$lns]=$from_lns; said "$4" "$lns"
  MARK[$lac]=$from_lac; said "$5" "$lac"
}
# What only the old daemon says: its authors and version, and that nobody acknowledges its farewell to a server that has
# never answered.
# The last is the word about a CDN that came before the StopCCN: whether the old daemon sends one is a matter of who is
# faster, it or its pppd, and what ours was not sent it cannot log.
ONLY_OLD='^(Written by|Forked |Inherited by|xlNtpd version|Unable to deliver closing message|control_finish: Connection closed to N.N.N.N, serial N)'
sc_l2tp_log() {
  local role l missing=0
  SAID=()
  log_session gw2 pub 203.0.113.30 lns-ours lac-theirs || { WHY="ours as LNS: $WHY"; return 1; }
  log_session pub gw2 203.0.113.10 lns-theirs lac-ours || { WHY="ours as LAC: $WHY"; return 1; }
  for role in lns lac; do
    printf '%s' "${SAID[$role-ours]}" >"$OUT/log-$role-ours"
    printf '%s' "${SAID[$role-theirs]}" >"$OUT/log-$role-theirs"
    while IFS= read -r l; do
      [ -n "$l" ] && [[ ! $l =~ $ONLY_OLD && ${SAID[$role-ours]} != *$'\n'"$l"* ]] || continue
      say "as $role ours does not say: $l"
      : "${WHY:=as $role ours does not say: $l}"
      missing=$((missing + 1))
    done <<<"${SAID[$role-theirs]}"
  done
  note "$missing lines missing"
  [ $missing = 0 ]
}
