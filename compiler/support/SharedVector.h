//===- SharedVector.h - a vector whose copies share -------------*- C++ -*-===//
//
// For small vectors that are copied far more often than they are changed. A
// copy costs no allocation; the first change of one makes it its own. Copies
// may be used on several threads at once, as copies of a vector may.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_SUPPORT_SHAREDVECTOR_H
#define WHALE_SUPPORT_SHAREDVECTOR_H

#include <atomic>
#include <initializer_list>
#include <memory>
#include <vector>

namespace whale {

template <class T> class SharedVector {
public:
  SharedVector() = default;
  SharedVector(std::vector<T> values)
      : values(std::make_shared<std::vector<T>>(std::move(values))) {}
  SharedVector(std::initializer_list<T> list)
      : SharedVector(std::vector<T>(list)) {}

  operator const std::vector<T> &() const { return read(); }
  size_t size() const { return read().size(); }
  bool empty() const { return read().empty(); }
  auto begin() const { return read().begin(); }
  auto end() const { return read().end(); }
  const T *data() const { return read().data(); }
  const T &operator[](size_t i) const { return read()[i]; }
  const T &front() const { return read().front(); }
  const T &back() const { return read().back(); }

  auto begin() { return own().begin(); }
  auto end() { return own().end(); }
  T &operator[](size_t i) { return own()[i]; }
  T &front() { return own().front(); }
  T &back() { return own().back(); }
  void resize(size_t size) { own().resize(size); }
  void push_back(T value) { own().push_back(std::move(value)); }

  /// Whether both are copies of one vector that were not changed.
  bool sharesWith(const SharedVector &other) const {
    return values == other.values;
  }
  /// Of copies without a look at the values.
  bool operator==(const SharedVector &other) const {
    return sharesWith(other) || read() == other.read();
  }

private:
  const std::vector<T> &read() const {
    static const std::vector<T> none;
    return values ? *values : none;
  }
  std::vector<T> &own() {
    if (!values || values.use_count() > 1)
      values = std::make_shared<std::vector<T>>(read());
    // What other threads read of copies that are gone comes before a change.
    std::atomic_thread_fence(std::memory_order_acquire);
    return *values;
  }

  /// Null: empty.
  std::shared_ptr<std::vector<T>> values;
};

} // namespace whale

#endif // WHALE_SUPPORT_SHAREDVECTOR_H
