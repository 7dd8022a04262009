#!/bin/bash
# Each file under selftests/ is byte for byte what the series adds.
. "$(dirname "$0")/../../lib.sh"

exec "$CI/sync.sh" check
