# verify.sh - `ipsec verify` and `ipsec check` on a server that is right, and on one with a defect.  Sourced inside the guest.

# `ipsec verify` finds nothing wrong with a server that works.
sc_verify() {
  nx server timeout 30 ipsec verify >"$OUT/verify.log" 2>&1
  local rc=$? bad
  bad=$(grep -E '\[(FAILED|ENABLED|NOT|MISSING|BROKEN)' "$OUT/verify.log" | head -1)
  note "exit $rc"
  [ $rc = 0 ] || fail "ipsec verify exits $rc: ${bad:-$(tail -1 "$OUT/verify.log")}" || return
  [ "$SERVER" = cygnet ] || return 0
  nx server timeout 30 ipsec check >"$OUT/check.log" 2>&1
  rc=$?
  note "$(tail -1 "$OUT/check.log")"
  [ $rc = 0 ] || fail "ipsec check exits $rc: $(head -1 "$OUT/check.log")"
}

# verdicts FILE: array LINES = the lines of a report with a verdict
verdicts() { mapfile -t LINES < <(grep -P '\t\[' "$1"); }

# defect NAME EXIT REGEX...: the report now has, besides what it has of a server that is right, a line for each REGEX
# with a fix below it, and no other; and exits as it should.  What is not so goes to $OUT/defects.wrong.
defect() {
  local name=$1 want=$2 log=$OUT/verify-$1.log rc l r hit
  shift 2
  nx server timeout 60 ipsec verify >"$log" 2>&1
  rc=$?
  [ $rc = "$want" ] || wrong "$name: ipsec verify exits $rc instead of $want"
  verdicts "$log"
  minus LINES RIGHT
  for r; do
    hit=0
    for l in "${REST[@]}"; do [[ ! $l =~ $r ]] || hit=1; done
    [ $hit = 1 ] || wrong "$name: no line like $r"
  done
  for l in "${REST[@]}"; do
    hit=0
    for r; do [[ ! $l =~ $r ]] || hit=1; done
    [ $hit = 1 ] || wrong "$name: a line about something else: $l"
    # the fix stands before the next verdict
    grep -F -A30 -- "$l" "$log" | tail -n +2 | grep -m1 -P '^  fix: .|\t\[' | grep -q '^  fix: ' || [[ $l == *'[OK]' ]] ||
      wrong "$name: no fix after $l"
  done
  FOUND=$((FOUND + 1))
}
wrong() { echo "$*" >>"$OUT/defects.wrong"; }
told() { grep -q "$2" "$OUT/verify-$1.log" || wrong "$1: not told: $2"; }
fw() { nx server iptables-legacy -w "$@" || wrong "iptables $* does not go"; }
sysctl_server() { nx server sh -c "echo $2 >/proc/sys/net/ipv4/$1"; }
# hold PORT: a stranger takes a UDP port of the server
hold() {
  nx server perl -MIO::Socket::INET -e '$0 = "stranger"; my $s = IO::Socket::INET->new(Proto => "udp", LocalPort => shift) or exit 1; open my $f, ">", "/tmp/held"; close $f; sleep 600' "$1" &
  disown
  wait_for 10 test -e /n/server/tmp/held
}
let_go() {
  sig server KILL stranger
  rm -f /n/server/tmp/held
  wait_for 5 gone server stranger
}

# One defect after the other is planted, found and repaired; each report has nothing of the defects before, so that every
# repair is seen too.
sc_verify_defects() {
  local d=/n/server/etc now
  [ "$SERVER" = cygnet ] || { note "not for $SERVER"; return 0; }
  FOUND=0
  rm -f "$OUT/defects.wrong"
  nx server timeout 60 ipsec verify >"$OUT/verify-right.log" 2>&1 || fail "a server that is right: $(tail -1 "$OUT/verify-right.log")" || return
  verdicts "$OUT/verify-right.log"
  RIGHT=("${LINES[@]}")
  ! grep -q $'\e' "$OUT/verify-right.log" || fail "colours in a file" || return
  nx server script -qec 'ipsec verify' /dev/null </dev/null >"$OUT/verify-tty.log" 2>&1
  grep -q $'\e\\[92mOK' "$OUT/verify-tty.log" || fail "no colours on a terminal" || return
  nx server ipsec verify --json >"$OUT/verify.json" 2>&1 || fail "--json exits $?" || return
  [[ $(<"$OUT/verify.json") == '{"checks":[{"check":'*'"ok":true}' ]] || fail "--json: $(head -c 80 "$OUT/verify.json")" || return

  # settings of the kernel
  sysctl_server ip_forward 0
  # without forwarding the kernel takes redirects
  defect forward 1 'IP forwarding.*\[FAILED\]' 'default/accept_redirects.*\[NOT DISABLED\]'
  sysctl_server ip_forward 1
  sysctl_server conf/wan/rp_filter 1
  defect rp-filter 0 'Checking rp_filter.*\[ENABLED\]' 'conf/wan/rp_filter.*\[ENABLED\]'
  sysctl_server conf/wan/rp_filter 0
  sysctl_server conf/wan/send_redirects 1
  defect redirects 0 'default/send_redirects.*\[NOT DISABLED\]'
  sysctl_server conf/wan/send_redirects 0

  # a module that a conn needs
  printf 'conn needs-ah\n\tleft=%%defaultroute\n\tright=203.0.113.99\n\tauthby=secret\n\tphase2=ah\n\tauto=add\n' >"$d/ipsec.d/L2TP-ah.conf"
  nx server ipsec auto --add needs-ah >"$OUT/needs-ah.log" 2>&1
  rmmod ah4 || fail "ah4 cannot be taken out" || return
  defect module 1 'AH in the kernel.*\[FAILED\]'
  modprobe -d /lab/roots/uml ah4
  defect module-back 0 'AH in the kernel.*\[OK\]'
  rm "$d/ipsec.d/L2TP-ah.conf"
  nx server ipsec auto --delete needs-ah >>"$OUT/needs-ah.log" 2>&1

  # the firewall
  for p in 500 4500; do
    fw -A INPUT -p udp --dport $p -j DROP
    defect "udp-$p" 1 'firewall.*\[BLOCKED\]'
    told "udp-$p" "UDP $p"
    fw -F INPUT
  done
  fw -A INPUT -p esp -j DROP
  defect esp 1 'firewall.*\[BLOCKED\]'
  fw -F INPUT

  # files
  chmod 644 "$d/ipsec.secrets"
  defect readable 1 'permissions of ipsec.secrets.*\[READABLE BY OTHERS\]' 'records of ipsec.secrets.*\[WARNING\]'
  chmod 600 "$d/ipsec.secrets"
  printf 'conn broken\n\tlefft=192.0.2.1\n\tauto=add\n' >"$d/ipsec.d/L2TP-broken.conf"
  defect syntax 1 'conn broken.*\[FAILED\]'
  rm "$d/ipsec.d/L2TP-broken.conf"
  nx server ipsec auto --delete L2TP-PSK >>"$OUT/defects.log" 2>&1
  defect not-loaded 1 'Pluto knows the conns.*\[FAILED\]'
  nx server ipsec auto --add L2TP-PSK >>"$OUT/defects.log" 2>&1

  # other programs
  nx server perl -e '$0 = "charon"; sleep 600' &
  disown
  wait_for 10 procs server charon
  defect clash 0 'other IKE and L2TP daemons.*\[FOUND\]'
  sig server KILL charon
  wait_for 5 gone server charon
  sig server KILL xl2tpd
  wait_for 5 gone server xl2tpd
  defect no-l2tpd 1 'L2TP daemon listens.*\[NOT RUNNING\]'
  hold 1701 || fail "port 1701 cannot be held" || return
  defect port-1701 1 'L2TP daemon listens.*\[NOT RUNNING\]'
  told port-1701 'UDP port 1701 is taken by stranger'
  let_go
  l2tp_start server || fail "xl2tpd does not start again" || return
  nx server timeout 30 ipsec setup stop >>"$OUT/defects.log" 2>&1
  hold 500 || fail "port 500 cannot be held" || return
  defect port-500 1 'pluto is running.*\[FAILED\]'
  told port-500 'UDP port 500 is taken by stranger'
  let_go
  ike_start server || fail "pluto does not start again" || return

  # the clock, and an address that is not the one peers see
  printf -v now %s "$EPOCHSECONDS"
  nx server sh -c "date -s @100 >/dev/null; ipsec verify >/tmp/clock.log 2>&1; echo \$? >>/tmp/clock.log; date -s @\$(($now + 2)) >/dev/null"
  grep -q 'system time.*\[WRONG\]' /n/server/tmp/clock.log && [ "$(tail -1 /n/server/tmp/clock.log)" = 0 ] || wrong "a clock of 1970 is not told, or fails without certificates"
  FOUND=$((FOUND + 1))
  ip -n server -batch - <<<$'addr add 10.77.0.1/24 dev wan\nroute replace default via 10.77.0.254 dev wan'
  defect nat 0 'NAT in front.*\[PROBABLY\]'
  ip -n server -batch - <<<$'route replace default via 192.0.2.254 dev wan\naddr del 10.77.0.1/24 dev wan'

  nx server timeout 60 ipsec verify >"$OUT/verify-repaired.log" 2>&1 || fail "all is repaired, and ipsec verify exits $?" || return
  verdicts "$OUT/verify-repaired.log"
  minus LINES RIGHT
  [ ${#REST[@]} = 0 ] || wrong "left after the repairs: ${REST[0]}"
  [ ! -s "$OUT/defects.wrong" ] || fail "$(head -1 "$OUT/defects.wrong")" || return
  note "$FOUND defects found, none besides, all repaired"
}
