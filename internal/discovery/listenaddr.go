package discovery

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// RegisterAddress turns a server's ListenOn into the address that others can
// dial. A host that names one interface, or a name, stays as it is. A listener
// on all interfaces (no host, 0.0.0.0, ::) is registered under the environment's
// POD_IP, else under the first IPv4 address of an interface that is up and not
// loopback. With several networks set POD_IP: the first one may be the wrong
// one. The port must be 1 to 65535; pass the listener's own address if the
// system chose the port.
func RegisterAddress(listenOn string) (string, error) {
	return registerAddress(listenOn, os.Getenv("POD_IP"), firstIPv4)
}

func registerAddress(listenOn, podIP string, ownIP func() (string, error)) (string, error) {
	host, port, err := net.SplitHostPort(listenOn)
	if err != nil {
		return "", fmt.Errorf("ListenOn %q is not host:port: write it as in 127.0.0.1:9101 or 0.0.0.0:9101", listenOn)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("ListenOn %q: port must be a number from 1 to 65535", listenOn)
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return listenOn, nil
	}
	if podIP != "" {
		if ip := net.ParseIP(podIP); ip == nil || ip.IsUnspecified() {
			return "", fmt.Errorf("environment POD_IP=%q is not an address that others can dial", podIP)
		}
		return net.JoinHostPort(podIP, port), nil
	}
	own, err := ownIP()
	if err != nil {
		return "", fmt.Errorf("ListenOn %q means every interface, and which address to register is unknown (%w): set the environment's POD_IP or name the host", listenOn, err)
	}
	return net.JoinHostPort(own, port), nil
}

func firstIPv4() (string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			return "", err
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
				return n.IP.String(), nil
			}
		}
	}
	return "", errors.New("no interface but loopback has an IPv4 address")
}
