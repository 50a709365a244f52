// Drives an Admin API with the libraries that decK consists of: go-kong, and the reconciler that
// dumps, compares and changes configurations.
//
//	reconciler URL ping | reset
//	reconciler URL validate | sync | diff | dump FILE
//
// `sync`, `diff` and `reset` print what was, or would be, changed: {"created":0,"updated":0,"deleted":0}.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/blang/semver/v4"
	"github.com/kong/go-database-reconciler/pkg/diff"
	"github.com/kong/go-database-reconciler/pkg/dump"
	"github.com/kong/go-database-reconciler/pkg/file"
	"github.com/kong/go-database-reconciler/pkg/state"
	"github.com/kong/go-database-reconciler/pkg/utils"
	"github.com/kong/go-kong/kong"
)

// Requests that are under way at a time, as decK has it.
const parallelism = 10

type node struct {
	client  *kong.Client
	version semver.Version
	text    string
}

type changes struct {
	Created int32 `json:"created"`
	Updated int32 `json:"updated"`
	Deleted int32 `json:"deleted"`
}

func connect(ctx context.Context, url string) (*node, error) {
	client, err := utils.GetKongClient(utils.KongClientConfig{Address: url, Timeout: 60})
	if err != nil {
		return nil, err
	}
	root, err := client.Root(ctx)
	if err != nil {
		return nil, err
	}
	text := kong.VersionFromInfo(root)
	version, err := utils.ParseKongVersion(text)
	if err != nil {
		return nil, err
	}
	return &node{client, version, text}, nil
}

func (n *node) config() dump.Config {
	return dump.Config{
		IsConsumerGroupScopedPluginSupported: n.version.GTE(utils.Kong340Version),
	}
}

func (n *node) current(ctx context.Context) (*state.KongState, error) {
	raw, err := dump.Get(ctx, n.client, n.config())
	if err != nil {
		return nil, err
	}
	return state.Get(raw)
}

func (n *node) wanted(ctx context.Context, path string, current *state.KongState) (*utils.KongRawState, error) {
	content, err := file.GetContentFromFiles([]string{path}, false)
	if err != nil {
		return nil, err
	}
	render := file.RenderConfig{CurrentState: current, KongVersion: n.version}
	return file.Get(ctx, content, render, n.config(), n.client)
}

func (n *node) change(ctx context.Context, path string, dry bool) (*changes, error) {
	current, err := n.current(ctx)
	if err != nil {
		return nil, err
	}
	raw, err := n.wanted(ctx, path, current)
	if err != nil {
		return nil, err
	}
	target, err := state.Get(raw)
	if err != nil {
		return nil, err
	}
	return n.solve(ctx, current, target, dry)
}

func (n *node) reset(ctx context.Context) (*changes, error) {
	current, err := n.current(ctx)
	if err != nil {
		return nil, err
	}
	nothing, err := state.NewKongState()
	if err != nil {
		return nil, err
	}
	return n.solve(ctx, current, nothing, false)
}

func (n *node) solve(ctx context.Context, current, target *state.KongState, dry bool) (*changes, error) {
	tell := func(words ...interface{}) { fmt.Fprintln(os.Stderr, words...) }
	syncer, err := diff.NewSyncer(diff.SyncerOpts{
		CurrentState:  current,
		TargetState:   target,
		KongClient:    n.client,
		CreatePrintln: tell,
		UpdatePrintln: tell,
		DeletePrintln: tell,
	})
	if err != nil {
		return nil, err
	}
	stats, failures, _ := syncer.Solve(ctx, parallelism, dry, false)
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	return &changes{stats.CreateOps.Count(), stats.UpdateOps.Count(), stats.DeleteOps.Count()}, nil
}

func (n *node) dump(ctx context.Context, path string) error {
	current, err := n.current(ctx)
	if err != nil {
		return err
	}
	return file.KongStateToFile(current, file.WriteConfig{
		Filename:    path,
		FileFormat:  file.YAML,
		KongVersion: n.text,
	})
}

// Asks about each entity of a file by itself.
func (n *node) validate(ctx context.Context, path string) error {
	nothing, err := state.NewKongState()
	if err != nil {
		return err
	}
	raw, err := n.wanted(ctx, path, nothing)
	if err != nil {
		return err
	}
	var failures []error
	ask := func(kind kong.EntityType, entity interface{}) {
		valid, message, err := n.client.Schemas.Validate(ctx, kind, entity)
		if err == nil && !valid {
			err = errors.New(message)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", kind, err))
		}
	}
	for _, entity := range raw.Services {
		ask(kong.EntityTypeServices, entity)
	}
	for _, entity := range raw.Routes {
		ask(kong.EntityTypeRoutes, entity)
	}
	for _, entity := range raw.Consumers {
		ask(kong.EntityTypeConsumers, entity)
	}
	for _, entity := range raw.Plugins {
		ask(kong.EntityTypePlugins, entity)
	}
	for _, entity := range raw.Upstreams {
		ask(kong.EntityTypeUpstreams, entity)
	}
	return errors.Join(failures...)
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("an address and a command are needed")
	}
	n, err := connect(ctx, arguments[0])
	if err != nil {
		return err
	}
	path := ""
	if len(arguments) > 2 {
		path = arguments[2]
	}
	var made *changes
	switch arguments[1] {
	case "ping":
		fmt.Println(n.text)
		return nil
	case "validate":
		return n.validate(ctx, path)
	case "dump":
		return n.dump(ctx, path)
	case "sync":
		made, err = n.change(ctx, path, false)
	case "diff":
		made, err = n.change(ctx, path, true)
	case "reset":
		made, err = n.reset(ctx)
	default:
		return fmt.Errorf("%s is no command", arguments[1])
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(made)
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
