#!/bin/sh
# Writes .env beside docker-compose.yml, or the file that is given: .env.example with a random secret for every empty
# value. Needs no Node.
set -eu
root=$(dirname "$0")/../..
file=${1:-$root/.env}
if [ -e "$file" ]; then
  echo "make-secrets: $file is there already and stays as it is" >&2
  exit 0
fi
umask 077
random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
while IFS= read -r line; do
  case $line in
    '#'*) ;;
    *=) line=$line$(random) ;;
  esac
  printf '%s\n' "$line"
done <"$root/.env.example" >"$file.new"
mv "$file.new" "$file"
echo "make-secrets: wrote $file with new secrets" >&2
