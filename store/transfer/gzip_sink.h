#pragma once

#include <memory>
#include <string_view>

#include "store/transfer/byte_sink.h"

struct archive;

namespace ollamafs {

// Compresses what it is given as .gz, on one processor: for who cannot read .zst.
class GzipSink final : public ByteSink {
 public:
  // `out` must outlive this. Throws std::runtime_error if libarchive refuses.
  explicit GzipSink(ByteSink& out);
  ~GzipSink() override;

  void write(std::string_view bytes) override;

  // To be called once, at the end.
  void finish();

 private:
  struct Output;
  void check(long long status);

  std::unique_ptr<Output> output_;
  archive* writer_;
};

}  // namespace ollamafs
