// Small files in a directory that disappears with the test.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "lab/support/hashing.hpp"

namespace gradstab::lab {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "gradstab-data-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(const std::string& name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline std::string gzip(const TemporaryDirectory& directory, std::string_view bytes) {
  const std::filesystem::path path = directory.path() / "gzip.tmp";
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  std::ifstream input(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(input), {}};
}

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream input(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(input), {}};
}

/// `count` documents of pseudo-random words, the same for the same seed; every document begins with its
/// number.
inline std::vector<std::string> word_documents(int count, std::uint64_t seed = 0) {
  constexpr std::string_view kSyllables[] = {"ka", "lo", "mi", "ter", "un", "gra", "di", "ent", "sta", "ble"};
  std::vector<std::string> documents;
  std::uint64_t state = seed;
  for (int i = 0; i < count; ++i) {
    std::string text = "Document " + std::to_string(i) + ":";
    for (int word = 0; word < 40; ++word) {
      text += word % 10 == 9 ? '\n' : ' ';
      const int syllables = 1 + static_cast<int>(mix64(state++) % 3);
      for (int k = 0; k < syllables; ++k) text += kSyllables[mix64(state++) % std::size(kSyllables)];
    }
    documents.push_back(std::move(text));
  }
  return documents;
}

inline std::string joined(const std::vector<std::string>& documents) {
  std::string text;
  for (const std::string& document : documents) text += document + "\n\n";
  return text;
}

}  // namespace gradstab::lab
