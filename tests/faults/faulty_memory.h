#pragma once

#include <cstddef>

#include "tests/support/faulty_calls.h"

namespace ollamafs::test {

// From now on the allocations of this program fail as the plan says, if its operator new is that of
// faulty_new.cpp; nullptr: none does.
void fail_allocations_by(FaultPlan* plan) noexcept;

// What std::free() takes back, aligned if the alignment is not 0; fails as the plan says, by
// std::bad_alloc.
void* allocate(std::size_t size, std::size_t alignment);

}  // namespace ollamafs::test
