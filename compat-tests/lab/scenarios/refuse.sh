# refuse.sh - clients that do it wrong stay out, the log says why, and one that does it right gets in after them.
# Sourced inside the guest.
declare -A CAUSE=(
  [cygnet-psk]='probable authentication failure \(mismatch of preshared secrets\?\): malformed payload in packet'
  [cygnet-proposal]='no acceptable Oakley Transform'
  [cygnet-chap]='xl2tpd\[[0-9]+\]: [^'$'\n'']*peer authentication failed|[Pp]eer [^'$'\n'']*failed CHAP authentication'
  [cygnet-ports]='cannot respond to IPsec SA request because no connection is known for'
  [libreswan-psk]='mismatch of preshared secrets|probable authentication failure|malformed payload in packet'
  [libreswan-proposal]='no acceptable Oakley Transform|OAKLEY proposal refused|NO_PROPOSAL_CHOSEN'
  [libreswan-chap]='[Pp]eer [^'$'\n'']*failed CHAP authentication'
  [libreswan-ports]='cannot respond to IPsec SA request because no connection is known for'
)
right_after() { # the right client, from another node, then from the refused one
  client_stop pub
  client pub alice || return
  connect pub || { WHY="after the refusal: $WHY"; return 1; }
  figures pub
}
refused_ike() { # refused_ike CAUSE CLIENT_ARG...: the IKE part must fail and the server say why
  local cause=$1 t rc
  shift
  client pub alice "$@" || return
  mark server
  t=${EPOCHREALTIME/./}
  UP_TIMEOUT=4 strongswan_up pub
  rc=$?
  [ $rc != 0 ] || fail "the client got in" || return
  wait_for 2 logged server "${CAUSE[$SERVER-$cause]}" || fail "no line in the server's log names the cause" || return
  note "'${REPLY#* }'"
  since "$t"
  right_after
}
sc_refuse_psk() { refused_ike psk PSK=somethingelse; }
sc_refuse_proposal() { refused_ike proposal IKE=aes128-sha1-modp768; }
sc_refuse_ports() { refused_ike ports PORTS=1701:1702; }
sc_refuse_chap() {
  client pub alice PASSWORD=wrong || return
  mark server
  strongswan_up pub || fail "IKE failed" || return
  mark pub
  echo "c vpn" >/n/pub/run/xl2tpd/l2tp-control
  wait_for 15 logged server "${CAUSE[$SERVER-chap]}" || fail "no line in the server's log names the cause" || return
  note "'${REPLY#* }'"
  logged pub 'remote IP address' && { fail "the client got an address"; return; }
  wait_for 10 gone server pppd || fail "the server's pppd is still there" || return
  right_after
}
