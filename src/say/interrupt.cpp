#include "src/say/interrupt.h"

#include <atomic>

#include "store/base/progress.h"

namespace ollamafs {
namespace {

// What a signal handler may touch has to be reached without a pointer, and be free of locks.
std::atomic<int> signals_seen = 0;
static_assert(std::atomic<int>::is_always_lock_free);

void remember(int signal) {
  if (signals_seen.fetch_add(1) == 0) return;
  std::signal(signal, SIG_DFL);
  std::raise(signal);  // is delivered when this returns
}

}  // namespace

InterruptGuard::InterruptGuard() {
  signals_seen = 0;
  former_.reserve(4);
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = remember;  // without SA_RESTART
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) replace(signal, action);
  action.sa_handler = SIG_IGN;
  replace(SIGPIPE, action);
}

void InterruptGuard::replace(int signal, const struct sigaction& action) {
  struct sigaction former {};
  if (::sigaction(signal, nullptr, &former) != 0 || former.sa_handler == SIG_IGN) return;
  if (::sigaction(signal, &action, nullptr) == 0) former_.push_back({signal, former});
}

InterruptGuard::~InterruptGuard() {
  for (const Former& former : former_) ::sigaction(former.signal, &former.action, nullptr);
}

bool is_interrupted() noexcept {
  return signals_seen > 0;
}

void throw_if_interrupted() {
  if (is_interrupted()) throw Interrupted{};
}

}  // namespace ollamafs
