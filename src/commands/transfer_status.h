#pragma once

#include "src/say/exit_status.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {

// How export and import end by such an error.
[[nodiscard]] CommandError command_error(const TransferError& error);

}  // namespace ollamafs
