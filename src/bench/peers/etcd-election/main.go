// A contender (src/bench/contender.ts) that leads by go.etcd.io/etcd/client/v3/concurrency: an Election in a Session
// whose lease has the TTL.
//
// Used as its documentation advises: the leader stops when Session.Done says that the lease is lost, looked at before
// each message; a new session is made then, since a lost lease cannot be revived. A planned switch is Election.Resign,
// which deletes the leader's key at once; the session stays and the contender queues up again behind the others.
package main

import (
	"context"
	"log"
	"math"
	"time"

	"baton/bench/contender"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

const retryPause = 100 * time.Millisecond

func main() {
	self := contender.New()
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   self.Servers,
		DialTimeout: 5 * time.Second,
		// A connection that has gone silent is given up; gRPC asks no more often than this.
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: self.TTL,
	})
	if err != nil {
		log.Fatal(err)
	}
	for {
		if err := compete(self, client); err != nil {
			log.Print(err)
		}
		time.Sleep(retryPause)
	}
}

// compete stands and leads, again and again, until its session ends.
func compete(self *contender.Contender, client *clientv3.Client) error {
	ttlSeconds := int(math.Ceil(self.TTL.Seconds()))
	session, err := concurrency.NewSession(client, concurrency.WithTTL(ttlSeconds))
	if err != nil {
		return err
	}
	defer session.Close()
	alive, end := context.WithCancel(context.Background())
	go func() {
		<-session.Done()
		end()
	}()

	election := concurrency.NewElection(session, "/"+self.Lock)
	for {
		self.Stand()
		if err := election.Campaign(alive, self.Name); err != nil {
			return err
		}
		self.Lead(alive)
		// Also after a broken connection to the broker: another one may still have its own.
		if err := election.Resign(alive); err != nil {
			return err
		}
	}
}
