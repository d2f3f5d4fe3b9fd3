#!/bin/sh
# Makes the certificates that the TLS tests use: a private authority, and a server and a client that it vouches for.
# They protect nothing. The files are committed, so that the tests need no openssl.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
touch "$work/index.txt"
cat >"$work/ca.cnf" <<END
[ca]
default_ca = test
[test]
database = $work/index.txt
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:true
subjectKeyIdentifier = hash
[member]
subjectAltName = DNS:localhost, IP:127.0.0.1
END
request() {
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$work/$1.csr"
}
sign() {
  name=$1
  shift
  openssl ca -batch -notext -config "$work/ca.cnf" -startdate 20200101000000Z -enddate 21200101000000Z \
    -in "$work/$name.csr" -out "$name.pem" "$@"
}
request ca 'heka-pipeline test authority'
sign ca -selfsign -keyfile ca.key -extensions authority
for member in server client; do
  request $member $member
  sign $member -cert ca.pem -keyfile ca.key -extensions member
done
rm ca.key
