# Makes deploy/etc/ out of etc/: what is different in a container, and nothing
# else. `make generate` runs it; edit etc/, or this.
s#127\.0\.0\.1:2379#etcd-1:2379, etcd-2:2379, etcd-3:2379#
s#127\.0\.0\.1#0.0.0.0#
s#certs/dev/#/run/secrets/#
s#File: etc/policy#File: /etc/clinsource/policy#
s#^\# /metrics, on the loopback only\.#\# /metrics, for Prometheus in the same network; never published.#
s#; the suite sends it to a file\.#; docker keeps it.#
# A database over the network, and processors shared by all containers of a host:
# a burst of views wants more than the second that one process and its file take.
s#^  \(Subjects\|Vitals\|Images\|Medications\): 1s$#  \1: 2s#
