// The mesh of a result in the place of its splat.
import type { ViewerHandle } from '@playcanvas/supersplat-viewer/viewer';
import { Asset, Entity, type RenderComponent, StandardMaterial } from 'playcanvas';

type Container = { instantiateRenderEntity: () => Entity };

// unlit takes away what the viewer's own light would add: the photographs hold the light.
function unlit(m: StandardMaterial) {
  m.diffuse.set(0, 0, 0);
  m.diffuseMap = null;
  m.update();
}

// surface shows the mesh at url, which is loaded once, or the splat again without one.
export function surface(v: ViewerHandle) {
  let mesh: Entity | undefined;
  const load = (url: string) => new Promise<Entity>((loaded, failed) => {
    const asset = new Asset('mesh.glb', 'container', { url });
    asset.on('load', () => loaded((asset.resource as Container).instantiateRenderEntity()));
    asset.on('error', (e: unknown) => failed(new Error(String(e))));
    v.app.assets.add(asset);
    v.app.assets.load(asset);
  });
  return async (url?: string) => {
    if (url && !mesh) {
      mesh = await load(url);
      mesh.findComponents('render').forEach(r => (r as RenderComponent).meshInstances.forEach(m => unlit(m.material as StandardMaterial)));
      mesh.rotateLocal(0, 180, 0); // from glTF's axes to the viewer's
      v.app.root.addChild(mesh);
    }
    if (mesh) mesh.enabled = !!url;
    const splat = v.app.root.findByName('gsplat');
    if (splat) splat.enabled = !url;
    v.app.renderNextFrame = true;
  };
}
