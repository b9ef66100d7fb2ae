#pragma once

#include "tests/support/faulty_calls.h"

namespace ollamafs::test {

// From now on the allocations of this program fail as the plan says; nullptr: none does. Programs
// that link this have its operator new.
void fail_allocations_by(FaultPlan* plan) noexcept;

}  // namespace ollamafs::test
