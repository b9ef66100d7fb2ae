#include "tests/support/faulty_calls.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace ollamafs::test {
namespace {

// Scatters (the finalizer of SplitMix64).
std::uint64_t scattered(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

void FaultPlan::clear() {
  calls = delayed = held = 0;
  allocations_to_one = allocation_to_fail = largest_allocation = 0;
  seen = injected = allocations_failed = 0;
}

void FaultPlan::fail(unsigned which, int with, std::uint64_t behind, std::uint64_t times) {
  clear();
  kind = Kind::error;
  error = with;
  skip = behind;
  count = times;
  one_in = 1;
  calls = which;
}

bool FaultPlan::takes_memory(std::uint64_t bytes) noexcept {
  const std::uint64_t to_one = allocations_to_one;
  const bool by_chance = to_one != 0 && scattered(allocations_++) % to_one == 0;
  const bool in_turn = allocation_to_fail != 0 && --allocation_to_fail == 0;
  const std::uint64_t largest = largest_allocation;
  const bool too_large = largest != 0 && bytes > largest;
  if (!by_chance && !in_turn && !too_large) return false;
  ++allocations_failed;
  return true;
}

// Whether this call goes wrong; when it has waited as it shall.
bool FaultyCalls::strikes(unsigned which) const noexcept {
  if (plan_.delayed & which) ::usleep(plan_.delay_us);
  if (plan_.held & which) {
    ++plan_.waiting;
    while (plan_.held & which) ::usleep(1000);
    --plan_.waiting;
  }
  if (!(plan_.calls & which)) return false;
  const std::uint64_t number = plan_.seen++;
  if (number < plan_.skip || number - plan_.skip >= plan_.count) return false;
  if (scattered(number) % plan_.one_in != 0) return false;
  ++plan_.injected;
  return true;
}

bool FaultyCalls::fails(unsigned which) const noexcept {
  if (!strikes(which) || plan_.kind != FaultPlan::Kind::error) return false;
  errno = plan_.error;
  return true;
}

int FaultyCalls::openat2(int directory, const char* path, int flags,
                         std::uint64_t resolve) const noexcept {
  return fails(call::kOpenat2) ? -1 : FileCalls::openat2(directory, path, flags, resolve);
}

int FaultyCalls::openat(int directory, const char* path, int flags) const noexcept {
  return fails(call::kOpenat) ? -1 : FileCalls::openat(directory, path, flags);
}

int FaultyCalls::fstat(int fd, struct stat& st) const noexcept {
  return fails(call::kFstat) ? -1 : FileCalls::fstat(fd, st);
}

int FaultyCalls::readable(int fd) const noexcept {
  return fails(call::kReadable) ? -1 : FileCalls::readable(fd);
}

ssize_t FaultyCalls::readlink(int fd, char* target, std::size_t size) const noexcept {
  return fails(call::kReadlink) ? -1 : FileCalls::readlink(fd, target, size);
}

const dirent* FaultyCalls::readdir(DIR* directory) const noexcept {
  return fails(call::kReaddir) ? nullptr : FileCalls::readdir(directory);
}

ssize_t FaultyCalls::pread(int fd, char* out, std::size_t size,
                           std::uint64_t offset) const noexcept {
  if (!strikes(call::kPread)) return FileCalls::pread(fd, out, size, offset);
  switch (plan_.kind) {
    case FaultPlan::Kind::shortened:
      return FileCalls::pread(fd, out, std::min<std::size_t>(size, 1), offset);
    case FaultPlan::Kind::cut:
      return 0;
    case FaultPlan::Kind::error:
      break;
  }
  errno = plan_.error;
  return -1;
}

}  // namespace ollamafs::test
