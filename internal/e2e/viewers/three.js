// three.js: its addons for splats need its WebGPURenderer, here on WebGL.
import * as THREE from 'three/webgpu';
import { GaussianSplat } from 'three/addons/objects/GaussianSplat.js';
import { GaussianSplatPLYLoader } from 'three/addons/loaders/GaussianSplatPLYLoader.js';
import { GLTFGaussianSplatLoaderExtension } from 'three/addons/loaders/GLTFGaussianSplatLoaderExtension.js';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
import { SPLATLoader } from 'three/addons/loaders/SPLATLoader.js';
import { SPZLoader } from 'three/addons/loaders/SPZLoader.js';

const loaders = { ply: GaussianSplatPLYLoader, splat: SPLATLoader, spz: SPZLoader };

async function load(url) {
	const kind = url.split('.').pop();
	if (kind === 'glb') {
		const loader = new GLTFLoader();
		loader.register(parser => new GLTFGaussianSplatLoaderExtension(parser));
		return (await loader.loadAsync(url)).scene;
	}
	if (!loaders[kind]) throw new Error(`no loader for .${kind}`);
	return new GaussianSplat(await new loaders[kind]().loadAsync(url));
}

// Gaussians, or triangles where there are none.
function size(scene) {
	let gaussians = 0, triangles = 0;
	scene.traverse(o => {
		if (o.isGaussianSplat) gaussians += o.splatGeometry.getAttribute('position').count;
		else if (o.isMesh) triangles += (o.geometry.index ?? o.geometry.getAttribute('position')).count / 3;
		else if (o.isPoints) throw new Error('it opens as points');
	});
	return gaussians || triangles;
}

export async function look(canvas, url, view) {
	const renderer = new THREE.WebGPURenderer({ canvas, antialias: false, forceWebGL: true });
	await renderer.init();
	renderer.setSize(view.width, view.height, false);
	renderer.setClearColor(0x000000, 1);
	// Colours of a splat are those of its images, already encoded: the renderer must not encode them again. A mesh's texture is decoded when read.
	if (!view.mesh) renderer.outputColorSpace = THREE.LinearSRGBColorSpace;
	const scene = new THREE.Scene();
	scene.add(await load(url));
	const camera = new THREE.PerspectiveCamera(view.fov, view.width / view.height, view.near, view.far);
	camera.position.set(...view.eye);
	camera.up.set(...view.up);
	camera.lookAt(...view.at);
	scene.updateMatrixWorld(true);
	camera.updateMatrixWorld(true);
	await renderer.compileAsync(scene, camera);
	renderer.render(scene, camera);
	renderer.render(scene, camera);
	return { count: size(scene), picture: canvas.toDataURL('image/png') };
}
