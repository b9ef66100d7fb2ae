#include "src/commands/transfer_status.h"

namespace ollamafs {
namespace {

ExitStatus status_of(TransferError::Kind kind) noexcept {
  switch (kind) {
    case TransferError::Kind::failed:
      return ExitStatus::failed;
    case TransferError::Kind::usage:
      return ExitStatus::usage;
    case TransferError::Kind::not_found:
      return ExitStatus::not_found;
    case TransferError::Kind::broken:
      return ExitStatus::broken;
    case TransferError::Kind::no_space:
      return ExitStatus::no_space;
    case TransferError::Kind::refused:
      return ExitStatus::refused;
  }
  return ExitStatus::failed;
}

}  // namespace

CommandError command_error(const TransferError& error) {
  return CommandError{error.what(), status_of(error.kind())};
}

}  // namespace ollamafs
