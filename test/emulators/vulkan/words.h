// Modules of SPIR-V as words: what asks for cooperative matrices is written without them.
#ifndef TENON_TEST_EMULATORS_VULKAN_WORDS_H
#define TENON_TEST_EMULATORS_VULKAN_WORDS_H

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace emulated {

using Words = std::vector<uint32_t>;

/// Numbers of the capabilities that a module declares.
std::set<uint32_t> capabilitiesOf(const uint32_t *words, size_t count);

inline constexpr uint32_t kCooperativeMatrix = 6022;
/// Threads of an emulated subgroup; consecutive ones, whatever the device has.
inline constexpr uint32_t kSubgroup = 32;

/// The same module where each thread has 8 elements of a sum, the column of B and the rows of A that they want: loads, products
/// and stores are instructions for each element. `error` is not empty when it has something that is not emulated.
Words withoutMatrices(const uint32_t *words, size_t count, std::string &error);

} // namespace emulated
#endif
