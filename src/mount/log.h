#pragma once

#include <spdlog/logger.h>
#include <spdlog/sinks/dist_sink.h>

#include <memory>

namespace ollamafs {

// Where the command says what happens: on stderr as long as somebody is there to read it, in the
// system's log afterwards. Never a line per request, unless with `debug`. Takes libfuse's messages
// too, for which it is spdlog's default logger: libfuse's log function has no place for a pointer
// of ours. Safe to use from several threads.
class Log {
 public:
  // Lines on stderr: "ollamafs: text", "ollamafs: warning: text". With `debug` more of them.
  explicit Log(bool debug);

  // From now on to syslog, which the journal reads too.
  void move_to_syslog();

  [[nodiscard]] spdlog::logger& operator*() const noexcept { return *logger_; }
  [[nodiscard]] spdlog::logger* operator->() const noexcept { return logger_.get(); }

 private:
  std::shared_ptr<spdlog::sinks::dist_sink_mt> sinks_;
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace ollamafs
