# judge.sh - running scenarios and judging them.  Sourced inside the guest.
#
# A scenario is a function sc_NAME (dashes become underscores) that returns 0 for PASS, calls `note` for its figures and
# sets WHY when it fails.  One line per scenario goes to /out/results:  PASS|FAIL name seconds figures
NOTES=()
note() { NOTES+=("$*"); }
fail() { WHY="$*"; return 1; }

verdict() { # verdict PASS|FAIL NAME SECONDS TEXT
  echo "$1 $2 $3s $4" >>"$OUT/results"
  say "$1 $2 $3s $4"
}

collect() { # collect NAME: the nodes' logs since the start of the scenario and the kernel's state
  local d=$OUT/$1 n
  mkdir -p "$d"
  for n in server gw2 pub publ client1 client2; do
    slurp "/n/$n/var/log/syslog"
    TEXT=${TEXT:${SC_MARK[$n]:-0}}
    [ -z "$TEXT" ] || printf '%s' "$TEXT" >"$d/$n.syslog"
    [ ! -s "/n/$n/var/log/charon.log" ] || cp "/n/$n/var/log/charon.log" "$d/$n.charon.log"
  done
  cp "$OUT"/*-up.log "$OUT"/*-ping.log "$d/" 2>/dev/null
  { ip -n server xfrm state; ip -n server xfrm policy; ip -n server -batch - <<<$'route\nlink'; } >"$d/server.kernel" 2>&1
}

declare -A SC_MARK
run_scenario() { # run_scenario NAME
  local name=$1 f=sc_${1//-/_} t=${EPOCHREALTIME/./} rc n text
  NOTES=() WHY= TOUCHED=()
  echo "run $name" >>"$OUT/progress"
  for n in server gw2 pub publ client1 client2; do slurp "/n/$n/var/log/syslog"; SC_MARK[$n]=${#TEXT}; done
  if ! gone_server; then server_reset || WHY="server: $REPLY"; fi
  [ -z "$WHY" ] && "$f"
  rc=$?
  capture_end
  since "$t"
  local secs=$REPLY
  local IFS=,
  text="${NOTES[*]}"
  IFS=' '
  collect "$name"
  if [ $rc = 0 ]; then
    verdict PASS "$name" "$secs" "$text"
  else
    verdict FAIL "$name" "$secs" "${WHY:-failed}${text:+ ($text)}"
  fi
  for n in "${!TOUCHED[@]}"; do
    if [ $rc = 0 ]; then client_clean "$n"; else client_stop "$n"; fi
  done
  if [ $rc != 0 ]; then
    # nothing of a failure may reach the next scenario
    for n in pub publ client1 client2; do
      for f in init.conf more.secrets; do [ ! -e "/n/$n/etc/ipsec.$f" ] || : >"/n/$n/etc/ipsec.$f"; done
    done
    server_reset || say "server: $REPLY"
  fi
}
gone_server() { procs server pluto && procs server xl2tpd; }
client_clean() { # leave the daemons running for the next scenario, without a connection
  if procs "$1" pppd; then hangup "$1"; fi
}

# left_over BEFORE AFTER SECONDS [REGEX]: wait until nothing is left of what the connection added (lines of array AFTER
# that array BEFORE has not; only those matching REGEX); WHY names the first thing left
left_over() {
  local end=$((${EPOCHREALTIME/./} + $3 * 1000000)) added=() l left
  minus "$2" "$1"
  for l in "${REST[@]}"; do [[ ! $l =~ ${4:-.} ]] || added+=("$l"); done
  while :; do
    server_state
    minus added STATE
    local went=("${REST[@]}")
    minus added went
    left=("${REST[@]}")
    [ ${#left[@]} -gt 0 ] || return 0
    [ "${EPOCHREALTIME/./}" -lt $end ] || break
    pause 0.1
  done
  l=${left[0]}
  WHY="left over: ${#left[@]} things, first: ${l:0:100}"
  return 1
}
IKE_LINES='^src ' # SAs and policies
