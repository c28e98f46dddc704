// What the properties are tried on: settings, and norm sequences from the peaceful to the malicious.
#pragma once

#include <rapidcheck.h>

#include <random>
#include <string>
#include <vector>

#include "gradstab/options.hpp"
#include "support/gradients.hpp"

namespace gradstab::testing {

/// Random numbers for a property: the seed is drawn, printed and shrunk by RapidCheck.
std::mt19937_64 random_engine();

/// Any of [0, count) alike, whatever the size of the test case (RapidCheck's ranges begin small).
int any_of(int count);

/// gamma1 and gamma2 as in the paper, as in other uses, and anywhere with gamma1^2 < gamma2; both forms.
rc::Gen<StabilizerOptions> options();
/// The same without bias correction, the form of the theorems.
rc::Gen<StabilizerOptions> paper_options();
/// gamma1^2 may reach or exceed gamma2 as well; then only the bound of each step exists.
rc::Gen<StabilizerOptions> options_without_uniform_bound();

/// Kinds of norm sequence.
enum class History {
  constant,
  worst_growth,  ///< by gamma2/gamma1 per step
  spikes,        ///< ordinary norms, some multiplied by 10 .. 1e12
  alternating,   ///< between two norms
  heavy_tailed,  ///< Cauchy-like: no mean
  sparse,        ///< mostly zero
  denormal,      ///< near the smallest doubles
  huge,          ///< near the largest doubles
  collapsing,    ///< shrinking by a fixed factor
  everything,    ///< each norm anywhere between 1e-300 and 1e300
};
std::ostream& operator<<(std::ostream& out, History history);

struct NormSequence {
  History history;
  std::vector<double> norms;  ///< finite, at least 0
};
std::ostream& operator<<(std::ostream& out, const NormSequence& sequence);

/// Up to `longest` norms of any kind. `within` limits them to [1/within, within] (zeros stay), for element
/// types narrower than a double or for what must not leave the range where a factor is a double.
rc::Gen<NormSequence> norm_sequence(const StabilizerOptions& options, std::size_t longest,
                                    double within = 1e308);

/// A vector of that Euclidean norm in a random direction.
Values vector_of_norm(std::mt19937_64& random, std::size_t count, double norm);

/// Relative rounding error that `decide` may collect over `steps` steps, and that the bounds may have: see
/// the definition.
double rounding_slack(const StabilizerOptions& options, std::int64_t steps);

}  // namespace gradstab::testing

namespace rc {
template <>
struct Arbitrary<gradstab::testing::History> {
  static Gen<gradstab::testing::History> arbitrary();
};
}  // namespace rc
