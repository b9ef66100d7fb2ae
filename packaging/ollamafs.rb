# typed: strict
# frozen_string_literal: true

# For `brew install --formula ./ollamafs.rb`: the commands that need no FUSE, as export, import and
# verify. Wants the archive that scripts/package writes of the tag v1.0.0 beside it; that of a commit
# behind a tag has another name.
class Ollamafs < Formula
  desc "Models of an Ollama store: export, import, verify"
  url "file://#{__dir__}/ollamafs-1.0.0.tar.xz"
  version "1.0.0"
  license "MIT"

  depends_on "cli11" => :build
  depends_on "cmake" => :build
  depends_on "ninja" => :build
  depends_on "nlohmann-json" => :build
  depends_on "pkgconf" => :build
  depends_on "fmt"
  depends_on "libarchive"
  depends_on :linux
  depends_on "openssl@3"
  depends_on "spdlog"
  depends_on "zstd"

  def install
    system "cmake", "-S", ".", "-B", "build", "-G", "Ninja",
           "-DOLLAMAFS_FUSE=OFF", "-DOLLAMAFS_TESTS=OFF", *std_cmake_args
    system "cmake", "--build", "build"
    system "cmake", "--install", "build"
  end

  test do
    (testpath/"store/blobs").mkpath
    (testpath/"store/manifests").mkpath
    assert_match "all right", shell_output("#{bin}/ollamafs verify --store #{testpath}/store")
  end
end
