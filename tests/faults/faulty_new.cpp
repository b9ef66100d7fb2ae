// The operator new of a program whose memory fails when a plan says so.
#include <cstdlib>
#include <new>

#include "tests/faults/faulty_memory.h"

void* operator new(std::size_t size) {
  return ollamafs::test::allocate(size, 0);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return ollamafs::test::allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return ollamafs::test::allocate(size, 0);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
// Else a sanitizer's own.
void* operator new[](std::size_t size) {
  return ollamafs::test::allocate(size, 0);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
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
