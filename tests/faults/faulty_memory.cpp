#include "tests/faults/faulty_memory.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace ollamafs::test {
namespace {

std::atomic<FaultPlan*> plan_of_memory = nullptr;  // operator new has no other way to it

void* allocate(std::size_t size, std::size_t alignment) {
  FaultPlan* const plan = plan_of_memory;
  void* memory = nullptr;
  if (!plan || !plan->takes_memory())
    memory = alignment ? std::aligned_alloc(alignment, size) : std::malloc(size);
  if (!memory) throw std::bad_alloc{};
  return memory;
}

}  // namespace

void fail_allocations_by(FaultPlan* plan) noexcept {
  plan_of_memory = plan;
}

}  // namespace ollamafs::test

void* operator new(std::size_t size) {
  return ollamafs::test::allocate(size, 0);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return ollamafs::test::allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
