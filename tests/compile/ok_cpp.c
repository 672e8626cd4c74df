/* SPDX-License-Identifier: MIT */
/* What C++ adds: classes, references, templates, lambdas, nullptr, enum class, namespaces. Compiled
 * as C it has nothing to say. */
#include <aglet.h>

#ifdef __cplusplus
namespace shop {
enum class state : unsigned char { open, shut };
struct item {
    int id = 0;
    double price = 0;
};

void sell(item *i, state s);
void sell(item *i, state s) {
    i->id += s == state::open;
}

template <typename T> struct box {
    ag_chan(T) values = ag_make(T, 4);
    ~box() {
        ag_unref(values);
    }
    void put(const T &v) {
        ag_send(values, v);
    }
    bool take(T &v) {
        return ag_recv(values, &v);
    }
};

class counter {
  public:
    static void bump(counter *c) {
        c->n_++;
    }
    int run() {
        ag_defer(bump, this);
        ag_go(bump, this);
        return ag_try(nullptr, counter::bump, this);
    }

  private:
    int n_ = 0;
};

template <typename T> T first(ag_chan(T) c, T none) {
    T v = none;
    return ag_select(AG_RECV(c, &v), AG_SEND(c, none), AG_DEFAULT) == 0 ? v : none;
}
} // namespace shop

int cpp(ag_chan(shop::item) c, shop::item &i, const int &n);
int cpp(ag_chan(shop::item) c, shop::item &i, const int &n) {
    shop::box<int> numbers;
    shop::box<shop::item *> pointers;
    numbers.put(n);
    pointers.put(&i);
    ag_go(shop::sell, &i, shop::state::open);
    ag_defer(shop::sell, &i, shop::state::shut);
    ag_go(
        +[](int v) { (void)v; }, n);
    void (*later)(const char *) = [](const char *) {};
    ag_go(later, nullptr);
    ag_go(later, "text");
    ag_send(c, i);
    ag_send(c, shop::item{});
    ag_select(AG_SEND(c, i), AG_RECV(c, &i), AG_RECV(c, nullptr), AG_AFTER(n));
    auto copy = ag_ref(c);
    auto hidden = [&](int k) {
        ag_defer(ag_unref, copy);
        return ag_send(numbers.values, k);
    };
    return hidden(2) + shop::first<int>(numbers.values, 3) + shop::counter().run();
}
#else
typedef int nothing_in_c;
#endif
