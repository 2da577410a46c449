//===- Checkpoint.h - Saved state, per shard --------------------*- C++ -*-===//
//
// directory/step-<number>/
//   shard-<rank>.bin    the boxes this rank owns, one after another
//   index.json          which box of which variable is where, with SHA-256
//
// index.json is written last (temporary name, fsync, rename, fsync of the
// directory): a directory without it is not a checkpoint. A box that several
// ranks hold is written by the lowest of them. Loading intersects boxes, so a
// checkpoint can be resumed under another plan of the same model.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_RUNTIME_CORE_CHECKPOINT_H
#define WHALE_RUNTIME_CORE_CHECKPOINT_H

#include "runtime/core/Executor.h"

namespace whale::runtime {

/// One saved box.
struct SavedBox {
  std::string path; ///< of the variable
  format::DType dtype = format::DType::F32;
  Box box;
  std::string file;
  uint64_t offset = 0; ///< bytes in the file
  uint64_t bytes = 0;
  std::string sha256;
};

/// What index.json says.
struct CheckpointIndex {
  std::string directory; ///< of the checkpoint itself, step-<number>
  std::string modelHash;
  int64_t nextStep = 0; ///< step that runs first after resuming
  int64_t seed = 0;     ///< data position and random numbers follow from both
  std::vector<SavedBox> boxes;
};

/// Which variables are written.
enum class SavedKinds {
  State,      ///< all but gradients: what a run needs to go on
  Everything, ///< gradients too, for dumps
};

/// Writes `directory`/step-<nextStep>. Every rank calls it; returns after the
/// index is in place.
Status saveCheckpoint(const ProgramSet &set, Executor &executor,
                      Communicator &communicator, const std::string &directory,
                      int64_t nextStep, int64_t seed, SavedKinds kinds);

/// The complete checkpoint with the highest step in a directory of
/// checkpoints; fails when there is none.
Result<std::string> findLatest(const std::string &directory);

/// Reads index.json of one checkpoint.
Result<CheckpointIndex> readIndex(const std::string &directory);

/// Fills all variables (but gradients) of the executor from a checkpoint; the
/// hash of every box that is used is checked.
Status loadCheckpoint(const CheckpointIndex &index, Executor &executor);

/// The whole tensor of a variable, row-major, put together from its boxes.
Result<std::vector<std::byte>> assemble(const CheckpointIndex &index,
                                        const std::string &path);

} // namespace whale::runtime

#endif // WHALE_RUNTIME_CORE_CHECKPOINT_H
