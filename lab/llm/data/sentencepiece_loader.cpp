#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "lab/llm/data/sentencepiece_module.hpp"

namespace gradstab::lab {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBuiltModule = GRADSTAB_SENTENCEPIECE_MODULE;

// The sanitizers' runtimes refuse RTLD_DEEPBIND; a sanitized program must not have both torch and
// SentencePiece.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kLoadFlags = RTLD_NOW | RTLD_LOCAL;
#else
constexpr int kLoadFlags = RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND;
#endif

Result<const SentencePieceModule*> load_module() {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  const fs::path built(kBuiltModule);
  const fs::path installed = program.parent_path().parent_path() / "lib" / "gradstab" / built.filename();
  const fs::path& path = fs::exists(installed, ignored) ? installed : built;
  void* handle = ::dlopen(path.c_str(), kLoadFlags);
  void* entry = handle != nullptr ? ::dlsym(handle, kSentencePieceEntryPoint) : nullptr;
  if (entry == nullptr) {
    const char* reason = ::dlerror();
    return Status(
        StatusCode::failed_precondition,
        fmt::format("cannot load SentencePiece: {} (it needs the Debian package libsentencepiece0; the "
                    "tokenizer 'bytes' works without)",
                    reason != nullptr ? reason : "unknown reason"));
  }
  return reinterpret_cast<SentencePieceEntryPoint>(entry)();
}

}  // namespace

Result<const SentencePieceModule*> sentencepiece_module() {
  static const Result<const SentencePieceModule*> module = load_module();
  return module;
}

}  // namespace gradstab::lab
