#!/bin/sh
# card.sh ROOT: makes the root of the image of train that can use an NVIDIA card, in a folder. Runs in the project's root, with Go
# and a glibc system of which the libraries are taken: in train-cuda.Dockerfile, or on any such machine (exercise.sh).
#
# A program that can load a driver is linked dynamically. Beside it are the libraries that it and the driver are linked with, and
# nothing else: the driver itself (libcuda.so.1, and what that loads) comes from the machine, in /usr/local/nvidia/lib64.
# splatworks is there for `doctor --gpu`, which says in a minute whether this image can train on a machine.
set -eu
root=$1
libraries="libc.so.6 libdl.so.2 libpthread.so.0 libm.so.6 librt.so.1"
loader=ld-linux-x86-64.so.2

mkdir -p "$root/app" "$root/tmp" "$root/etc/ssl/certs" "$root/lib64" "$root/lib/x86_64-linux-gnu"
for program in services/train/cmd cmd/splatworks; do
	name=$(basename "${program%/cmd}")
	CGO_ENABLED=0 go build -tags disable_grpc_modules,nodynamic,gpu -trimpath -ldflags='-s -w' -o "$root/app/$name" "./$program"
done
cp -L "/lib64/$loader" "$root/lib64/"
for library in $libraries; do cp -L "/lib/x86_64-linux-gnu/$library" "$root/lib/x86_64-linux-gnu/"; done
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
printf 'splatworks:x:65532:65532::/tmp:/none\n' >"$root/etc/passwd"
chmod 1777 "$root/tmp"
