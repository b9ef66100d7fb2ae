#pragma once

#include <sys/types.h>

#include <chrono>

namespace ollamafs {

// A time of CLOCK_BOOTTIME, by which proc(5) tells when a process began.
using SinceBoot = std::chrono::nanoseconds;
[[nodiscard]] SinceBoot since_boot() noexcept;

// Whether a process began after that moment; false too if that cannot be found out.
[[nodiscard]] bool began_after(pid_t process, SinceBoot moment) noexcept;

// Whether the process that had this number at that moment has ended: there is none of this number,
// or a younger one. False if that cannot be found out, and for a number that stands_for_many().
[[nodiscard]] bool has_ended(pid_t process, SinceBoot moment) noexcept;

// The threads of the kernel, as one: its NFS server answers whom it likes.
inline constexpr pid_t kKernel = -2;

// Nobody knows which: for want of a descriptor, say.
inline constexpr pid_t kUnknown = -1;

// Whether a number stands for more than one program: kKernel, kUnknown, and 0, for all processes
// that this process's namespace does not have.
[[nodiscard]] constexpr bool stands_for_many(pid_t process) noexcept {
  return process <= 0;
}

// Who asks for something. FUSE tells the thread; what goes on behind something that failed is the
// whole process, and programs in Go, say, let any thread of theirs go on. The threads of the kernel
// count as one.
//
// Most requests need not know it, so it is found out when it is asked for.
class Tool {
 public:
  constexpr Tool() = default;
  constexpr explicit Tool(pid_t process) noexcept : process_{process} {}

  static constexpr Tool of_thread(pid_t thread) noexcept {
    Tool tool;
    tool.thread_ = thread;
    return tool;
  }

  // Its number, kKernel, 0 or kUnknown. Where proc(5) hides it (hidepid=), or where the thread is
  // gone, that of the thread: for a process that has no other, that is the same.
  [[nodiscard]] pid_t process() const noexcept;

 private:
  pid_t process_ = 0;
  pid_t thread_ = 0;
};

}  // namespace ollamafs
