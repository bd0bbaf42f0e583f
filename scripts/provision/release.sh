# shellcheck shell=bash
# Puts a release below /opt/dronedispatch: wheels in, a virtual environment out, no network asked. Sourced by the provisioner
# and by scripts/prepare-nomad; wants say, die and changed.

# Made beside, moved in one step: a release is whole or it is not there. What runs an older one is not touched.
make_release() {
  local source=$1 target=$2 python=$3 making=/opt/dronedispatch/.making pip
  (cd "$source" && sha256sum --quiet --check SHA256SUMS) || die "the release ${target##*/} is damaged: run scripts/release again"
  rm -rf "$making"
  "$python" -m venv "$making"
  pip=("$making/bin/python" -m pip install -q --disable-pip-version-check --no-index --find-links "$source/wheels")
  "${pip[@]}" --require-hashes -r "$source/requirements.txt" ||
    die "the wheels of ${target##*/} do not fit this machine's $("$python" --version) on $(uname -m): run scripts/release for it (--help)"
  if ! { "${pip[@]}" --no-deps "$source"/own/*.whl && "$making/bin/python" -c 'import dronedispatch.lb.downstream'; }; then
    die "the compiled load balancer of ${target##*/} does not fit this machine (above): run scripts/release here, or without --compiled"
  fi
  cp -a "$source/etc" "$source/loadtests" "$source/release.json" "$making/"
  # Programs begin with the path that they were made at.
  grep -rlI "$making" "$making/bin" | xargs -r sed -i "s|$making|$target|g"
  cp "$source/SHA256SUMS" "$making/SHA256SUMS"
  chown -R root:root "$making"
  chmod -R u+rwX,go+rX,go-w "$making"
  rm -rf "$target"
  mv "$making" "$target"
  changed "installed the release ${target##*/}"
}

# install_release SOURCE PYTHON: the release of that folder (.artifacts/release-NAME), where it is not there yet; it is `current` then.
install_release() {
  local source=$1 python=$2 name target
  name=${1##*/release-}
  target=/opt/dronedispatch/$name
  # Not `cmp || make_release`: bash would go on after a command of it that fails.
  if ! cmp -s "$source/SHA256SUMS" "$target/SHA256SUMS" 2>/dev/null; then make_release "$source" "$target" "$python"; fi
  "$target/bin/dronedispatch" --help >/dev/null || die "the release $name does not run: remove $target, then install it again"
  if [[ $(readlink /opt/dronedispatch/current 2>/dev/null) == "$name" ]]; then return; fi
  ln -sfn "$name" /opt/dronedispatch/current
  changed "current is $name"
}
