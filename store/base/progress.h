#pragma once

#include <cstdint>
#include <stdexcept>
#include <string_view>

namespace ollamafs {

// The user wants a long work to stop (Ctrl-C, SIGTERM). Thrown out of Progress::add, through
// whatever is being done: RAII puts away what is half done.
class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error{"interrupted"} {}
};

// Whom a long work tells how far it has come. store/ calls it; src/say shows it to a person. The
// default tells nobody and never interrupts.
//
// add() may be called from several threads at once, the others from the thread that began the work.
class Progress {
 public:
  virtual ~Progress() = default;

  // Tells nobody; lives as long as the program.
  [[nodiscard]] static Progress& none() noexcept;

  // How much there is to do in all, as far as that is known. May be called again when more is
  // known; 0 bytes: unknown.
  virtual void expect(std::uint64_t /*bytes*/, std::uint64_t /*items*/) {}

  // The next item begins, a blob as a rule. `name` is printable, and short enough for a line.
  virtual void next(std::string_view /*name*/) {}

  // `bytes` more are done. Call it at least once in some MiB. Throws Interrupted if the user wants
  // to stop.
  virtual void add(std::uint64_t /*bytes*/) {}
};

}  // namespace ollamafs
