#!/bin/bash
# What others' CI is told: every job that ci/jobs.sh lists is a target of the
# Makefile, once; the files for GitLab, GitHub and LAVA are whole, and call no
# command but those.
. "$(dirname "$0")/../../lib.sh"

bad=0
scratch
"$CI/jobs.sh" >"$tmp/jobs"
[ "$(wc -l <"$tmp/jobs")" -gt 20 ] || { echo "only $(wc -l <"$tmp/jobs") jobs"; bad=1; }
doubles=$(sort "$tmp/jobs" | uniq -d)
[ -z "$doubles" ] || { echo "listed twice: $doubles"; bad=1; }
while read -r make target settings; do
	if [ "$make" != make ] || ! grep -Eq "^$target:" "$TOP/Makefile"; then
		echo "no target of the Makefile: $make $target $settings"
		bad=1
	fi
done <"$tmp/jobs"

"$CI/jobs.sh" --gitlab >"$tmp/gitlab.yml"
"$CI/jobs.sh" --json >"$tmp/jobs.json"
python3 - "$CI" "$tmp" <<'END' || bad=1
import json
import re
import sys

import yaml

ci, tmp = sys.argv[1:]
bad = []


def load(path):
    with open(path, encoding="utf-8") as f:
        return yaml.load(f, yaml.BaseLoader)


def expect(name, got, want):
    if got != want:
        bad.append(f"{name}: {got!r}, not {want!r}")


with open(tmp + "/jobs", encoding="utf-8") as f:
    jobs = f.read().splitlines()
with open(tmp + "/jobs.json", encoding="utf-8") as f:
    expect("--json", json.load(f), jobs)

child = load(tmp + "/gitlab.yml")
calls = [job["script"] for name, job in child.items() if not name.startswith(".")]
expect("--gitlab: scripts", calls, [[job] for job in jobs])
expect("--gitlab: templates", {job.get("extends") for name, job in child.items() if name != ".job"}, {".job"})

gitlab = load(ci + "/gitlab-ci.yml")
expect("gitlab: list", gitlab["list"]["script"], ["ci/jobs.sh --gitlab >jobs.yml"])
expect("gitlab: artifacts", gitlab["list"]["artifacts"]["paths"], ["jobs.yml"])
expect("gitlab: run", gitlab["run"]["trigger"]["include"], [{"artifact": "jobs.yml", "job": "list"}])
expect("gitlab: stages", [gitlab[j]["stage"] for j in ("list", "run")], gitlab["stages"])

github = load(ci + "/github-actions.yml")
steps = {name: [s["run"] for s in job["steps"] if "run" in s and "apt-get" not in s["run"]] for name, job in github["jobs"].items()}
expect("github: steps", steps, {"list": ['echo "jobs=$(ci/jobs.sh --json)" >>"$GITHUB_OUTPUT"'], "run": ["exec $JOB"]})
run = github["jobs"]["run"]
expect("github: matrix", run["strategy"]["matrix"]["job"], "${{ fromJSON(needs.list.outputs.jobs) }}")
expect("github: JOB", run["env"]["JOB"], "${{ matrix.job }}")
expect("github: needs", run["needs"], "list")
if len(jobs) > 256:
    bad.append(f"github: a matrix of {len(jobs)} jobs, 256 are allowed")

lava = load(ci + "/lava.yml")
for key in ("job_name", "device_type", "timeouts", "priority", "visibility", "actions"):
    if key not in lava:
        bad.append(f"lava: no {key}")
expect("lava: actions", [next(iter(a)) for a in lava["actions"]], ["deploy", "boot", "test"])
monitor = lava["actions"][2]["test"]["monitors"][0]
words = {}
for line in ("ok 1 swap_cache.base_read.cached_folio_moves_when_touched", "not ok 2 lazy_mbind.call_moves_nothing",
             "ok 3 file.shared.moves_when_read # SKIP needs_a_disk", "#  RUN  x"):
    m = re.match(monitor["pattern"], line)
    words[line.split()[-1]] = m and (m["test_case_id"], monitor["fixupdict"][m["result"]])
expect("lava: pattern", list(words.values()),
       [("swap_cache.base_read.cached_folio_moves_when_touched", "pass"), ("lazy_mbind.call_moves_nothing", "fail"),
        ("file.shared.moves_when_read", "skip"), None])
with open(ci + "/guest/init", encoding="utf-8") as f:
    init = f.read()
for text in (lava["actions"][1]["boot"]["prompts"][0], monitor["end"]):
    if text.replace("mof: ", "") not in init:
        bad.append(f"lava: ci/guest/init does not say '{text}'")

for line in bad:
    print(line)
sys.exit(bool(bad))
END
exit $bad
