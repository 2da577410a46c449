//===- Check.h - Rules that a well-formed program keeps ---------*- C++ -*-===//
//
// A program may come from anywhere; after these checks no instruction can
// touch memory outside of the arena, call what is not there or name a member,
// peer, section, input or source that does not exist. What ranks do *together*
// (matching collectives, no deadlock) is the business of compiler/verifier.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_FORMAT_CHECK_H
#define WHALE_RUNTIME_FORMAT_CHECK_H

#include "runtime/format/Manifest.h"

namespace whale::format {

/// Checks all that can be known without a rank. `name` is for messages.
Status checkProgram(const ProgramT &program, const std::string &name);

/// Checks `program` as rank `rank` of `manifest` runs it: everything of
/// checkProgram, with the rank's scalars in offsets, its communicators' sizes
/// and its place in uneven collectives.
Status checkRank(const ProgramT &program, const Manifest &manifest,
                 uint32_t rank);

/// Micro-batches with which each section is visited, by section; sorted.
std::vector<std::vector<int64_t>> visitsOf(const ProgramT &program);

/// `path` and `file:line:column` of an instruction, into an error.
void locate(const ProgramT &program, size_t section, size_t instruction,
            Error &error);

} // namespace whale::format

#endif // WHALE_RUNTIME_FORMAT_CHECK_H
