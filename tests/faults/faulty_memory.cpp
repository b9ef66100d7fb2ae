#include "tests/faults/faulty_memory.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace ollamafs::test {
namespace {

std::atomic<FaultPlan*> plan_of_memory = nullptr;  // operator new has no other way to it

}  // namespace

void fail_allocations_by(FaultPlan* plan) noexcept {
  plan_of_memory = plan;
}

void* allocate(std::size_t size, std::size_t alignment) {
  FaultPlan* const plan = plan_of_memory;
  void* memory = nullptr;
  if (!plan || !plan->takes_memory(size))
    memory = alignment ? std::aligned_alloc(alignment, size) : std::malloc(size);
  if (!memory) throw std::bad_alloc{};
  return memory;
}

}  // namespace ollamafs::test
